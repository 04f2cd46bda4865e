"""Mutual TLS between the processes of one Governor, and one conversation over it."""
