"""What people write, as types: versioned resources at the edge, core types inside.

The versioned models (`v1alpha1`) validate and convert; nothing inside Governor
depends on their wire format. No I/O and no decisions here.
"""
