"""Frames between the bench and a codec's own process: magic, lengths, a header in JSON, a payload of bytes."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

MAGIC = b"SCBF"
_HEAD = struct.Struct("<4sIQ")
HEAD_BYTES = _HEAD.size
MOST_HEADER, MOST_PAYLOAD = 2**20, 2**32


class BadFrame(ValueError):
    """Bytes that are no frame."""


def pack(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """The frame of a header and a payload."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return _HEAD.pack(MAGIC, len(text), len(payload)) + text + payload


def sizes(head: bytes) -> tuple[int, int]:
    """Bytes of header and payload that follow the first HEAD_BYTES of a frame. Raises BadFrame."""
    magic, header, payload = _HEAD.unpack(head)
    if magic != MAGIC:
        raise BadFrame(f"{head[:HEAD_BYTES]!r} is no beginning of a frame")
    if header > MOST_HEADER or payload > MOST_PAYLOAD:
        raise BadFrame(f"a frame of {header} and {payload} bytes is too long")
    return header, payload


def parse(text: bytes) -> dict[str, Any]:
    """A frame's header. Raises BadFrame."""
    try:
        header = json.loads(text)
    except ValueError as error:
        raise BadFrame(f"a header is no JSON: {text[:80]!r}") from error
    if not isinstance(header, dict):
        raise BadFrame(f"a header is no table: {text[:80]!r}")
    return header


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next frame of a stream, or None at its end. Raises BadFrame."""
    head = stream.read(HEAD_BYTES)
    if not head:
        return None
    if len(head) < HEAD_BYTES:
        raise BadFrame("a frame is cut short")
    header, payload = sizes(head)
    text, data = stream.read(header), stream.read(payload)
    if len(text) < header or len(data) < payload:
        raise BadFrame("a frame is cut short")
    return parse(text), data
