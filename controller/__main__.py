"""Starts the command line."""


def main() -> None:
    """Run `governor`."""
    raise SystemExit(2)
