"""Loops that make the cluster say what Governor decided. They are thin: plans are pure values."""
