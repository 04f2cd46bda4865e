"""What people write, as types: versioned resources at the edge, core types inside.

The versioned models (`v1alpha1`) validate and convert; nothing inside Governor
depends on their wire format. No decisions here, and no I/O but the command that
writes the generated files (`generate`).
"""
