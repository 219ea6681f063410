"""Identity: 16 bit linear PCM, the ceiling of every column. What a listener gets from a file, without a codec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.adapters import check_settings
from bench.audio import to_pcm16
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Packets
from bench.fetch.weights import Weights

VERSION = "1"
PACKET = 320
"""Samples per packet."""


class Identity(Codec):
    """PCM16, little endian, in packets of 320 samples; lossless for anything that was PCM16 before."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def _encode(self, wave: Wave) -> Codes:
        data = to_pcm16(wave).astype("<i2").tobytes()
        step = 2 * PACKET
        payloads = tuple(data[at : at + step] for at in range(0, len(data), step))
        return Codes((Packets("pcm", self.sample_rate / PACKET, payloads),), len(wave), self.sample_rate)

    def _decode(self, codes: Codes) -> Wave:
        part = codes.part("pcm")
        assert isinstance(part, Packets)
        return np.frombuffer(b"".join(part.payloads), "<i2").astype(np.float32) / np.float32(32768)


def load(point: Point, weights: Weights, device: str) -> Codec:
    """No settings; the card gives the sample rate."""
    check_settings(point)
    return Identity(point.sample_rate)
