"""Entropy-coded size of a message: the exact cost of an adaptive arithmetic coder, from its model, without writing.

The model is order 0 and adaptive: both ends start from the same counts and count every symbol they have seen, so
nothing is learnt from other utterances and nothing but the message is sent. A symbol v of V, seen c_v times among n,
has the probability (s c_v + 1) / (s n + V); s, one of `SPEEDS`, is how fast counts are trusted and is sent with each
column (2 bits). s = 0 is the uniform law, so that a message never grows by more than those bits. What a range coder
(G. N. N. Martin, "Range encoding", 1979) writes under this model is as long to within its last word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.coding.codes import Codes, Packets, Part, Tokens

SPEEDS = (0, 2, 8, 32)
"""Weights of one observed symbol against one unseen one; 0 never learns."""


def column_bits(symbols: np.ndarray, size: int) -> tuple[float, int]:
    """Ideal bits of one column, int [N] of alphabet `size`, and the number of the speed in SPEEDS that reaches it."""
    count = len(symbols)
    best, chosen = count * math.log2(size) if size > 1 else 0.0, 0
    if count == 0 or size < 2:
        return best, chosen
    order = np.argsort(symbols, kind="stable")
    ordered = symbols[order]
    first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    starts = np.flatnonzero(first)
    seen = np.arange(count) - np.repeat(starts, np.diff(np.append(starts, count)))
    before = np.arange(count, dtype=np.float64)
    for number, speed in enumerate(SPEEDS[1:], start=1):
        bits = float(np.log2(speed * before + size).sum() - np.log2(speed * seen + 1.0).sum())
        if bits < best:
            best, chosen = bits, number
    return best, chosen


def _columns(part: Part) -> Iterator[tuple[np.ndarray, int]]:
    """The part as columns of (symbols [N], alphabet): codebooks, packet bytes, or a vector's halves."""
    if isinstance(part, Tokens):
        for number, size in enumerate(part.sizes):
            yield part.indices[:, number].astype(np.int64), size
    elif isinstance(part, Packets):
        yield np.frombuffer(b"".join(part.payloads), np.uint8).astype(np.int64), 256
    else:
        yield part.values.view(np.uint16).astype(np.int64), 65536


def coded_bits(codes: Codes) -> int:
    """Entropy-coded size of all parts in bits, the coder's 2 bits per column included, container header apart."""
    total = 0.0
    for part in codes.parts:
        for symbols, size in _columns(part):
            total += column_bits(symbols, size)[0] + (2 if size > 1 else 0)
    return math.ceil(total)
