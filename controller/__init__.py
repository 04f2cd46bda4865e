"""The decisions of Governor, and the processes that make them.

Where to find a thing:

====================  =========================================================
``apis``              what people write: Mandate, Governance; and the core types
``agents``            who wrote: an agent, a stray, or nobody that we govern
``changes``           what a write changes: the fields that differ
``registration``      which writes the API server asks about
``policy``            the guards, the input document, the engine's port, results
``admission``         composes these into one verdict; the denial's wording
``clients``           all input and output: Kubernetes, the engine, certificates
``feeds``             per-process loops that keep the snapshot current
``cli``               the command line
``settings``          what an operator sets
``judging``           builds the judge: the engine with its policies, and the reviewer
``manager``           the one place where processes are wired together
====================  =========================================================

Everything from ``apis`` to ``admission``, and ``registration``, is pure: values in, values out, no
clock, no I/O. `docs/architecture.md` follows one write through all of it.
"""
