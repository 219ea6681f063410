"""Codes that differ by rounding, told apart from codes that differ: 16 bits of hash for each frame of what was sent.

Two kinds of CPU add in another order, so that now and then a network's code flips to its neighbour; a change of the codec moves
most of them. The hash of a whole message says "different" to both.
"""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

from bench.coding.codes import Codes, Packets, Tokens


def fingerprint(codes: Codes) -> str:
    """16 bits for each frame of tokens or packets and for each value of a vector, in order, as base64."""
    return base64.b64encode(np.concatenate([_frames(part) for part in codes.parts]).astype("<u2").tobytes()).decode()


def _frames(part: object) -> NDArray[np.uint16]:
    if isinstance(part, Tokens):
        return _hashes([row.tobytes() for row in part.indices.astype("<i4")])
    if isinstance(part, Packets):
        return _hashes(list(part.payloads))
    return np.asarray(part.values, np.float16).view(np.uint16)  # type: ignore[attr-defined]


def _hashes(frames: list[bytes]) -> NDArray[np.uint16]:
    return np.array([zlib.crc32(frame) & 0xFFFF for frame in frames], np.uint16)


def equal_frames(a: str, b: str) -> tuple[int, int]:
    """(frames that are equal, frames of the longer) of two fingerprints."""
    first, second = (np.frombuffer(base64.b64decode(text), "<u2") for text in (a, b))
    shorter = min(len(first), len(second))
    return int((first[:shorter] == second[:shorter]).sum()), max(len(first), len(second))
