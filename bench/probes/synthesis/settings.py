"""Settings of synthesis as named protocols: `focalcodec` as published, `embedded` for a few sentences on a CPU; of each,
`-delay` with the delayed pattern of codebooks.

Sources: FocalCodec, arXiv 2502.04465, section 4.4, and its public recipe (Llama 3 decoder of 12 layers; flattened
codebooks; as many tokens as the target has); sampling by its NeurIPS version (the best of 5 by word error rate).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bench.errors import UnknownName
from bench.probes.settings import Training


@dataclass(frozen=True)
class Settings(Training):
    """Everything that decides what a synthesis says besides its data and seed."""

    layers: int = 12
    width: int = 512
    feed_forward: int = 2048
    heads: int = 4
    key_value_heads: int = 1
    rope_theta: float = 10_000.0
    dropout: float = 0.1
    text_width: int = 512
    """Of the characters' embeddings."""
    voice: str = "sim_wavlm"
    """The metric whose embedding stands for the speaker."""
    pattern: Literal["flatten", "delay"] = "flatten"
    """How several codebooks become one sequence (`bench.probes.synthesis.patterns`)."""
    top_p: float = 0.9
    temperature: float = 1.0
    samples: int = 5
    """Of which the one with the fewest wrong words is kept."""
    judge: str = "whisper_small"
    """The metric whose transcript tells the wrong words."""
    length: Literal["target", "stop"] = "target"
    """Where an utterance ends: with as many frames as the target recording has, or where the decoder says so."""
    longest: float = 2.0
    """Frames after which a decoder that does not stop is cut, as a multiple of the target's."""


PROTOCOLS: dict[str, Settings] = {
    "focalcodec": Settings("focalcodec"),
    "embedded": Settings(
        "embedded", layers=4, width=192, feed_forward=512, dropout=0.0, text_width=192, voice="sim_resemblyzer",
        learning_rate=2e-3, batch=4, order="shuffled", epochs=120, improvement=0.0, anneal=0.95, patience=4, clip=1.0,
        judge="error_rates", length="stop",
    ),
}  # fmt: skip
PROTOCOLS |= {f"{name}-delay": replace(one, protocol=f"{name}-delay", pattern="delay") for name, one in PROTOCOLS.items()}


def settings(protocol: str) -> Settings:
    """The settings of `protocol`. Raises UnknownName."""
    if protocol not in PROTOCOLS:
        raise UnknownName("synthesis protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]
