"""Cuts a stream of bytes into lines. No parsing, no I/O of its own."""

from collections.abc import AsyncIterator

from controller.clients.kube.errors import UnreachableError

LONGEST = 64 * 1024 * 1024
"""Bytes. One object of etcd's 1.5 MB that is all control characters takes six times that as
JSON, with managed fields and annotations on top: the transport's own line reader gives up at
4 MiB, and an agent could silence a watch with such an object."""


async def lines(pieces: AsyncIterator[bytes], *, longest: int = LONGEST) -> AsyncIterator[bytes]:
    """Yield each line without its newline; empty lines are skipped.

    Raises:
        UnreachableError: the stream ends within a line, or a line is longer than `longest`.
    """
    rest = bytearray()
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        rest += first
        for other in others:
            if rest:
                yield bytes(rest)
            rest = bytearray(other)
        if len(rest) > longest:
            raise UnreachableError(f"a line of more than {longest} bytes")
    if rest:
        raise UnreachableError(f"the stream ended within a line, after {len(rest)} bytes of it")
