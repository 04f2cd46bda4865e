"""The tour that `make run` gives: a real agent meets a real API server.

`scene` boots everything, `steps` says what the agent tries and what must come
of it, `narrate` prints it. The tour uses only what every user has: the command
line, kubectl, and manifests. No product code depends on it.
"""
