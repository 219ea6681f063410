"""Two systems that should be one codec: equal codes, and how far their decoders are apart on the same codes.

For a port against its reference, a foreign environment against an adapter, or two devices. Speech is cut to each length; both
encode it; what A sent is decoded by both. SNR = 10 log10(sum a^2 / sum (a - b)^2), a and b the decoded waves, in dB (inf: equal
to the last bit). It is measured over length because networks with memory drift apart: equal codes at one second say nothing
of ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.coding.codec import Codec, Wave, decode, encode
from bench.coding.codes import Codes, Packets, Part, Tokens
from bench.errors import BenchError
from bench.report.text import grid

SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Lengths that are compared where nothing else is asked for."""


@dataclass(frozen=True)
class Line:
    """Agreement at one length. seconds: of audio. frames: of the fastest part. equal: share of equal codes, in [0, 1].
    snr_db, least_db: of all decoded samples together, and of the utterance where it is smallest."""

    seconds: float
    frames: int
    utterances: int
    equal: float
    snr_db: float
    least_db: float


def compare(a: Codec, b: Codec, waves: Sequence[Wave], seconds: Sequence[float] = SECONDS) -> list[Line]:
    """Agreement of `a` and `b` on `waves`, float [T] at their sample rate, for each length that some wave reaches.

    BenchError: their rates, layouts or numbers of codes differ, so that they are not one codec; or all waves are shorter.
    """
    for what in ("sample_rate", "output_rate"):
        if getattr(a, what) != getattr(b, what):
            raise BenchError(f"A and B are not one codec: {what} is {getattr(a, what)} Hz in A and {getattr(b, what)} Hz in B")
    lengths = [(second, round(second * a.sample_rate)) for second in sorted(set(seconds))]
    lines = [
        _line(a, b, [wave[:length] for wave in waves if len(wave) >= length], second)
        for second, length in lengths
        if any(len(wave) >= length for wave in waves)
    ]
    if not lines:
        longest = max((len(wave) for wave in waves), default=0) / a.sample_rate
        raise BenchError(f"no speech of {min(seconds):g} s to compare A and B on: the longest has {longest:.2f} s")
    return lines


def _line(a: Codec, b: Codec, waves: Sequence[Wave], seconds: float) -> Line:
    theirs = [encode(codec, waves) for codec in (a, b)]
    shares = [share for one, other in zip(*theirs, strict=True) for share in _equal(one, other)]
    lengths = [len(wave) for wave in waves]
    decoded = [decode(codec, theirs[0], lengths) for codec in (a, b)]
    powers = [
        (float(np.sum(np.square(x, dtype=np.float64))), float(np.sum((x.astype(np.float64) - y) ** 2)))
        for x, y in zip(*decoded, strict=True)
    ]
    frames = max((_count(part) for part in theirs[0][0].parts), default=0)
    return Line(
        seconds, frames, len(waves), sum(same for same, _ in shares) / max(1, sum(count for _, count in shares)),
        _snr_db(*(sum(column) for column in zip(*powers, strict=True))), min(_snr_db(*pair) for pair in powers),
    )  # fmt: skip


def _count(part: Part) -> int:
    return len(part.indices) if isinstance(part, Tokens) else len(part.payloads) if isinstance(part, Packets) else 1


def _equal(one: Codes, other: Codes) -> Iterator[tuple[int, int]]:
    """Of each part: how many codes (tokens, packets, values) are equal, and how many there are."""
    if one.layout != other.layout:
        raise BenchError(f"A and B are not one codec: A sends {one.layout}, B sends {other.layout}")
    for mine, its in zip(one.parts, other.parts, strict=True):
        if _count(mine) != _count(its):
            raise BenchError(
                f"A and B are not one codec: for {one.seconds:.3f} s A sends {_count(mine)} frames of '{mine.name}', "
                f"B {_count(its)}"
            )
        if isinstance(mine, Tokens) and isinstance(its, Tokens):
            yield int(np.sum(mine.indices == its.indices)), mine.indices.size
        elif isinstance(mine, Packets) and isinstance(its, Packets):
            yield sum(x == y for x, y in zip(mine.payloads, its.payloads, strict=True)), len(mine.payloads)
        else:
            yield int(np.sum(mine.values == its.values)), mine.values.size  # type: ignore[union-attr]


def _snr_db(signal: float, difference: float) -> float:
    if not difference:
        return float("inf")
    return 10 * float(np.log10(signal / difference)) if signal else float("-inf")


def terminal(a: str, b: str, lines: Sequence[Line]) -> str:
    """The table for a terminal."""
    head = ("seconds", "frames", "n", "equal codes, %", "SNR, dB", "least SNR, dB")
    rows = [
        (f"{line.seconds:g}", str(line.frames), str(line.utterances), _percent(line.equal), f"{line.snr_db:.1f}",
         f"{line.least_db:.1f}")
        for line in lines
    ]  # fmt: skip
    told = "SNR: B's decoder against A's on the codes of A; inf: equal to the last bit"
    return f"A: {a}\nB: {b}\n{grid(head, rows, left=())}\n{told}"


def _percent(share: float) -> str:
    """Two decimals, and never 100 where a code differs."""
    return f"{100 * share:.2f}" if share in (0.0, 1.0) else f"{min(max(100 * share, 0.01), 99.99):.2f}"
