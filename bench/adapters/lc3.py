"""LC3, the codec of Bluetooth LE Audio, through lc3py, which carries Google's liblc3. One packet every 10 ms.

Settings: `frame_bytes`, the size of a packet (20 to 400).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.adapters import check_settings
from bench.audio import to_pcm16
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Packets
from bench.errors import BadCard, BadCodes, BenchError
from bench.fetch.weights import Weights

VERSION = "1"

FRAME_US = 10_000
RATES_HZ = (8000, 16000, 24000, 32000, 48000)


class LC3(Codec):
    """A constant rate. Every message starts from a fresh encoder and decoder, so that utterances do not depend on each
    other. A wave comes back 2.5 ms late; the frame itself is no delay of the wave."""

    def __init__(self, sample_rate: int, frame_bytes: int) -> None:
        if sample_rate not in RATES_HZ:
            raise BadCard(f"lc3: {sample_rate} Hz is none of its rates {', '.join(map(str, RATES_HZ))}")
        if not 20 <= frame_bytes <= 400:
            raise BadCard(f"lc3: frame_bytes is {frame_bytes}, must be 20 to 400")
        self.sample_rate, self.frame_bytes = sample_rate, frame_bytes
        self.frame = sample_rate * FRAME_US // 1_000_000
        self.delay = sample_rate // 400

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def _encode(self, wave: Wave) -> Codes:
        encoder = _library().Encoder(FRAME_US, self.sample_rate)
        pcm = to_pcm16(wave).reshape(-1, self.frame)
        packets = tuple(bytes(encoder.encode(frame.tobytes(), self.frame_bytes, 16)) for frame in pcm)
        return Codes((Packets("packets", 1e6 / FRAME_US, packets),), len(wave), self.sample_rate)

    def _decode(self, codes: Codes) -> Wave:
        part = codes.part("packets")
        if not isinstance(part, Packets) or {len(packet) for packet in part.payloads} - {self.frame_bytes}:
            raise BadCodes(f"lc3: expected packets of {self.frame_bytes} bytes")
        decoder = _library().Decoder(FRAME_US, self.sample_rate)
        pcm = b"".join(bytes(decoder.decode(packet, 16)) for packet in part.payloads)
        return np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32768)


def _library():  # type: ignore[no-untyped-def]
    try:
        import lc3
    except ImportError as error:
        raise BenchError("lc3 needs the package lc3py: pip install lc3py") from error
    return lc3


def load(point: Point, weights: Weights, device: str) -> Codec:
    """BadCard: a rate or packet size that LC3 does not have; BenchError: the package is not installed."""
    check_settings(point, ["frame_bytes"])
    _library()
    return LC3(point.sample_rate, int(point.settings["frame_bytes"]))
