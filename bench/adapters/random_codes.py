"""Random codes: the floor of every column. Another codec's decoder, fed with tokens drawn evenly at random.

The message has the shape and the size of the other codec's for the same wave and nothing of its content. The draw is
seeded by the wave itself: the same utterance always gets the same codes, whatever else is in the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from bench import adapters
from bench.cards import Point, resolve
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Packets, Part, Tokens, Vector
from bench.errors import BadCard
from bench.fetch.weights import Weights

VERSION = "1"
WRAPS = "codec"


class RandomCodes(Codec):
    """`inner` with its tokens replaced; vectors are kept (they have no alphabet to draw from), packets refused."""

    def __init__(self, inner: Codec) -> None:
        self.inner = inner
        self.sample_rate, self.frame, self.min_samples = inner.sample_rate, inner.frame, inner.min_samples
        self.delay = inner.delay

    @property
    def output_rate(self) -> int:
        return self.inner.output_rate

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._redraw(codes, wave) for codes, wave in zip(self.inner.encode(waves), waves, strict=True)]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return self.inner.decode(codes)

    def _redraw(self, codes: Codes, wave: Wave) -> Codes:
        digest = hashlib.sha256(np.ascontiguousarray(wave, "<f4").tobytes()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
        return Codes(tuple(_draw(part, rng) for part in codes.parts), codes.num_samples, codes.sample_rate)


def _draw(part: Part, rng: np.random.Generator) -> Part:
    if isinstance(part, Tokens):
        indices = rng.integers(0, np.array(part.sizes), part.indices.shape)
        return Tokens(part.name, part.rate_hz, part.sizes, indices)
    if isinstance(part, Packets):
        raise BadCard(f"random codes: packets ('{part.name}') cannot be drawn at random; name a codec of tokens")
    assert isinstance(part, Vector)
    return part


def load(point: Point, weights: Weights, device: str) -> Codec:
    """Settings: `codec`, the operating point whose decoder is used; it must need no weights."""
    adapters.check_settings(point, ["codec"])
    inner = resolve(str(point.settings["codec"]))
    if inner.needs_weights:
        raise BadCard(f"{point.name}: '{inner.name}' needs weights; name a codec that needs none")
    return RandomCodes(adapters.load(inner, Weights("none"), device))
