"""The decisions of Governor, and the processes that make them.

Where to find a thing:

====================  =========================================================
``apis``              what people write: Mandate, Governance; and the core types
``agents``            who wrote: an agent, a stray, or nobody that we govern
``changes``           what a write changes: the fields that differ
``policy``            the guards, the input document, the engine's port, results
``admission``         composes these into one verdict; the denial's wording
``clients``           all input and output: Kubernetes, the engine, certificates
``feeds``             per-process loops that keep the snapshot current
``cli``               the command line
``manager``           the one place where things are wired together
====================  =========================================================

Everything from ``apis`` to ``admission`` is pure: values in, values out, no
clock, no I/O. `docs/architecture.md` follows one write through all of it.
"""
