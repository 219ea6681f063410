"""Semantic augmentation: what is said, given beside the wave, relieves the codebooks of it.

Phoneme labels, or frames of a self-supervised model, become one vector s per frame of codes. With e the encoder's
embedding and RVQ the quantizer, the decoder gets, by `mode`:

    concat    conv_3([s ; RVQ(e)])
    add       RVQ(e) + s
    residual  RVQ(e - s) + s

The decoder needs s: labels or features must be sent or known there, and their rate adds to that of the codes.

Reference: FunCodec (arXiv 2309.07405, section 2.4, equation 3; table 5). The toolkit's own inference runs residual codes
through the concatenation too; here each mode is what the paper says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.padded_conv import PaddedConv
from bench.models.funcodec.model import FunCodec, Trained

Mode = Literal["concat", "add", "residual"]


@dataclass(frozen=True)
class SemanticConfig:
    """`labels`: size of the phoneme inventory, or `features`: width of self-supervised frames (then labels is ignored).
    `ratio`: their frames per frame of codes (2: 100 Hz against 50 Hz)."""

    mode: Mode = "residual"
    labels: int = 86
    features: int = 0
    ratio: int = 2

    def __post_init__(self) -> None:
        if self.mode not in ("concat", "add", "residual"):
            raise ValueError(f"semantic mode {self.mode!r} is none of concat, add, residual")


class SemanticEncoder(nn.Module):
    """Labels int [B, L], posteriors [B, L, labels] or features [B, L, features] -> s [B, frames, dim]."""

    def __init__(self, config: SemanticConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.table: nn.Module = nn.Linear(config.features, dim) if config.features else nn.Embedding(config.labels, dim)
        self.mix = nn.Sequential(
            PaddedConv(dim, dim, (7,), norm="time_group_norm"),
            nn.ELU(),
            PaddedConv(dim, dim, (2 * config.ratio,), (config.ratio,), norm="time_group_norm"),
        )

    def forward(self, semantic: Tensor, frames: int) -> Tensor:
        """Cut, or held at its last value, to `frames`. ValueError where the lengths cannot belong together."""
        config = self.config
        if config.features:
            if semantic.ndim != 3 or semantic.shape[2] != config.features:
                raise ValueError(f"features of shape {tuple(semantic.shape)}; expected [B, L, {config.features}]")
        elif semantic.ndim == 3:
            semantic = semantic.argmax(dim=2)
        wanted = frames * config.ratio
        if abs(semantic.shape[1] - wanted) > 2 * config.ratio + wanted // 20:
            raise ValueError(
                f"{semantic.shape[1]} semantic frames for {frames} frames of codes; expected about {wanted}: "
                f"their rate must be {config.ratio} times that of the codes"
            )
        vectors = self.mix(self.table(semantic).transpose(1, 2))[..., :frames]
        missing = frames - vectors.shape[-1]
        if missing:
            vectors = F.pad(vectors, (0, missing), mode="replicate")
        return vectors.transpose(1, 2)


class SemanticFunCodec(nn.Module):
    """A `FunCodec` with semantic augmentation. Waves [B, T]; semantic input as `SemanticEncoder` takes it."""

    def __init__(self, codec: FunCodec, config: SemanticConfig) -> None:
        super().__init__()
        self.codec = codec
        self.config = config
        dim = codec.config.dim
        self.semantic = SemanticEncoder(config, dim)
        self.join = PaddedConv(2 * dim, dim, (3,), norm="time_group_norm") if config.mode == "concat" else None

    def _into_quantizer(self, embedding: Tensor, s: Tensor) -> Tensor:
        return embedding - s if self.config.mode == "residual" else embedding

    def _out_of_quantizer(self, words: Tensor, s: Tensor) -> Tensor:
        if self.join is None:
            return words + s
        return self.join(torch.cat([s, words], dim=2).transpose(1, 2)).transpose(1, 2)

    def encode(self, wave: Tensor, semantic: Tensor, levels: int | None = None) -> tuple[Tensor, Tensor]:
        """-> codes [K, B, frames], scale [B, 1]."""
        embedding, scale = self.codec.embed(wave)
        s = self.semantic(semantic, embedding.shape[1])
        return self.codec.quantizer.encode(self._into_quantizer(embedding, s), levels), scale

    def decode(self, codes: Tensor, semantic: Tensor, scale: Tensor | None = None, *, whole: bool = False) -> Tensor:
        """Codes [K, B, frames] and the semantic input -> wave [B, T']."""
        words = self.codec.quantizer.decode(codes)
        joined = self._out_of_quantizer(words, self.semantic(semantic, words.shape[1]))
        return self.codec.decode_embedding(joined, scale, whole=whole)

    def forward(self, wave: Tensor, semantic: Tensor, levels: int | None = None) -> Trained:
        """One pass for training, as `FunCodec.forward`; `quantized` is what the decoder gets."""
        embedding, scale = self.codec.embed(wave)
        s = self.semantic(semantic, embedding.shape[1])
        quantized = self.codec.quantizer(self._into_quantizer(embedding, s), levels)
        joined = self._out_of_quantizer(quantized.words, s)
        out = self.codec.decode_embedding(joined, scale)[:, : wave.shape[1]]
        return Trained(out, quantized.indices, quantized.commitment, embedding, joined)
