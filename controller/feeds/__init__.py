"""Loops that every replica runs to keep what it decides with current.

Each holds immutable values for its readers and replaces them; it decides nothing
about a write, and writes nothing to the cluster.
"""
