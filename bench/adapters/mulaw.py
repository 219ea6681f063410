"""Mu-law, 8 bit: the companding of ITU-T G.711, one token of 256 per sample, here at the card's rate (16 kHz).

G.711 (11/88), table 2a: sign, three bits of segment, four bits of step over 14 bit samples with a bias of 33; the byte
is sent inverted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.audio import to_pcm16
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Tokens
from bench.fetch.weights import Weights

VERSION = "1"

_BIAS = 33


def expand(codes: NDArray[np.integer]) -> NDArray[np.int16]:
    """Codes 0..255 [T] -> int16 [T]."""
    byte = ~np.asarray(codes, np.int32) & 0xFF
    segment, step = (byte >> 4) & 7, byte & 0xF
    magnitude = (((step << 1) + _BIAS) << segment) - _BIAS
    return (np.where(byte & 0x80, -magnitude, magnitude) * 4).astype(np.int16)


def compress(pcm: NDArray[np.int16]) -> NDArray[np.int32]:
    """int16 [T] -> codes 0..255 [T]: the nearest level, which is where the recommendation puts its decision values."""
    # Ties go to the smaller magnitude on both sides of zero, so that a wave and its negative code alike.
    index = np.searchsorted(_DECISIONS, np.abs(pcm.astype(np.int32)), side="left")
    return np.where(pcm < 0, 0x7F - index, 0xFF - index).astype(np.int32)


_LEVELS = expand(np.arange(0xFF, 0x7F, -1)).astype(np.float64)
"""The 128 levels from zero upwards, codes 0xFF down to 0x80; the negative ones are codes 0x7F down to 0."""

_DECISIONS = (_LEVELS[1:] + _LEVELS[:-1]) / 2


class MuLaw(Codec):
    """One token per sample."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def _encode(self, wave: Wave) -> Codes:
        tokens = Tokens("samples", float(self.sample_rate), (256,), compress(to_pcm16(wave))[:, None])
        return Codes((tokens,), len(wave), self.sample_rate)

    def _decode(self, codes: Codes) -> Wave:
        part = codes.part("samples")
        assert isinstance(part, Tokens)
        return expand(part.indices[:, 0]).astype(np.float32) / np.float32(32768)


def load(point: Point, weights: Weights, device: str) -> Codec:
    """No settings; the card gives the sample rate."""
    check_settings(point)
    return MuLaw(point.sample_rate)
