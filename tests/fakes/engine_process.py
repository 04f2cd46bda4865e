"""An engine process that speaks the protocol by a script: honestly, or with one lie.

Run as `engine_process.py LIE serve --fd=N ...`. It evaluates nothing: to every
document it answers that every unit has nothing to say. It shares no code with the
client, so that a mistake in there does not cancel out.
"""

import json
import os
import socket
import struct
import sys
import time

HEADER = struct.Struct(">IBBHQ")
Frame = tuple[int, int, bytes]


def framed(kind: int, request: int, payload: bytes, *, flags: int = 0, reserved: int = 0) -> bytes:
    return HEADER.pack(len(payload), kind, flags, reserved, request) + payload


def quiet(names: list[str]) -> bytes:
    value: list[dict[str, list[str]]] = [{"deny": [], "warn": [], "cap": []}]
    return json.dumps([{"unit": name, "value": value} for name in names]).encode()


def answer(lie: str, request: int, digest: bytes, names: list[str]) -> bytes:
    honest = digest + quiet(names)
    unit = names[0]
    bodies = {
        "another-digest": b"x" * 32 + quiet(names),
        "no-digest": b"",
        "no-json": digest + b"[{",
        "no-list": digest + b"{}",
        "no-unit": digest + quiet(names[1:]),
        "another-unit": digest + quiet([*names[1:], "other"]),
        "no-value": digest + json.dumps([{"unit": unit}]).encode(),
        "value-no-list": digest + json.dumps([{"unit": unit, "value": {}}]).encode(),
        "bindings-no-objects": digest + json.dumps([{"unit": unit, "value": [1]}]).encode(),
        "error-no-object": digest + json.dumps([{"unit": unit, "error": "x"}]).encode(),
        "error-no-text": digest + json.dumps([{"unit": unit, "error": {"code": "x"}}]).encode(),
        "value-and-error": digest
        + json.dumps([{"unit": unit, "value": [], "error": None}]).encode(),
    }
    frames = {
        "another-request": framed(0x82, request + 1000, honest),
        "answered-twice": framed(0x82, request, honest) * 2,
        "unknown-kind": framed(0x42, request, honest),
        "kind-of-another-question": framed(0x83, request, honest),
        "reserved-bytes": framed(0x82, request, honest, reserved=1),
        "endless-frame": HEADER.pack(0xFFFFFFFF, 0x82, 0, 0, request),
        "fault-no-json": framed(0x8F, request, b"oops"),
        "fault-unknown": framed(0x8F, request, b'{"code": "bored", "message": ""}'),
        "half-a-frame": framed(0x82, request, honest)[:-5],
    }
    return frames.get(lie) or framed(0x82, request, bodies.get(lie, honest))


def serve(lie: str, conn: socket.socket) -> None:
    stream = conn.makefile("rb")
    digest, names = b"", [""]
    while header := stream.read(HEADER.size):
        length, kind, _, _, request = HEADER.unpack(header)
        payload = stream.read(length)
        if kind == 0x01:
            digest = payload[:32]
            names = [unit["name"] for unit in json.loads(payload[32:])["units"]]
            conn.sendall(framed(0x81, request, b"y" * 32 if lie == "loads-another" else digest))
        elif kind == 0x03:
            conn.sendall(framed(0x83, request, payload))
        elif lie == "silence":
            time.sleep(3600)
        elif lie == "exit":
            os._exit(3)
        else:
            conn.sendall(answer(lie, request, digest, names))
            if lie == "half-a-frame":
                os._exit(3)


if __name__ == "__main__":
    fd = next(int(flag.removeprefix("--fd=")) for flag in sys.argv if flag.startswith("--fd="))
    serve(sys.argv[1], socket.socket(fileno=fd))
