"""Programs that measure, each printing its figure as the last line."""
