"""Settings of the heads as named protocols: `focalcodec` as published, `embedded` for small sets on a CPU.

Source: FocalCodec, arXiv 2502.04465, section 4.4, and its public recipes (speechbrain's Conformer; NewBob on the
validation loss, best epoch by the share of wrong tokens; shortest utterances first).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.errors import UnknownName
from bench.probes import settings as probes


@dataclass(frozen=True)
class Settings(probes.Training):
    """Everything that decides a head's outcome besides its data and seed."""

    dim: int = 512
    attention_heads: int = 4
    ffn: int = 2048
    layers: int = 6
    kernel: int = 31
    dropout: float = 0.1
    output: Literal["linear", "table"] = "linear"
    """A linear layer over all entries of a codebook, or nearness to the entries of the codec's own table."""
    best: Literal["tokens", "loss"] = "tokens"
    """What chooses the best epoch: the share of wrong tokens in validation, or the loss, which small sets need."""
    crop_s: float = 0.0
    """Training reads a random stretch of so many seconds of every utterance; 0: all of it."""
    width: int = 0
    """Width that every codebook is brought to; 0: left as they are where they agree."""

    @property
    def front(self) -> probes.Settings:
        """The settings of the embedding and pooling of codebooks."""
        return probes.Settings(self.protocol, embedding_dim=self.embedding_dim, width=self.width)


_EMBEDDED = Settings(
    "embedded", dim=128, ffn=256, layers=3, kernel=15, output="table", learning_rate=1e-3, order="shuffled", best="loss",
    crop_s=2.0, epochs=12, anneal=0.5, patience=0, clip=1.0, width=128,
)  # fmt: skip

PROTOCOLS: Mapping[str, Settings] = {"focalcodec": Settings("focalcodec"), "embedded": _EMBEDDED}


def settings(protocol: str) -> Settings:
    """The settings under `protocol`."""
    if protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]
