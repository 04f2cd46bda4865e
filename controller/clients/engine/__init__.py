"""The adapters of the engine's port: OPA as a child process, or a remote OPA server.

This package does all of the I/O of evaluating policies and decides nothing: what
an answer means for a write is decided in `controller.admission`.
"""
