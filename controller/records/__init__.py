"""What is written down of each change: its body, its record, the chain, and how to undo it.

Pure: bytes and values. Where records are kept is the business of
`controller.clients.outbox` and `controller.clients.git`.
"""
