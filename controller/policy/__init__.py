"""What is asked of policies and what their answers mean.

The guards (Python, for what must hold with a broken bundle), the input
document, the engine's port, and the reading of its results. Evaluating Rego is
an adapter's business (`controller.clients.engine`).
"""
