"""Composes the decisions into one verdict on one write.

`review` reads the API server's question, `judge` decides in two pure halves
around the engine, `explain` words denials, `answer` writes the reply. No I/O:
the shells (`webhooks`, `controller.cli`) await the engine in between.
"""
