"""FunCodec and FreqCodec: level normalisation, transform, encoder, residual quantizer, decoder, and back.

Reference: FunCodec (arXiv 2309.07405v2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.models.blocks.residual_vq import ResidualVQ
from bench.models.blocks.seanet import Decoder, Encoder
from bench.models.funcodec.config import FunCodecConfig
from bench.models.funcodec.transforms import Transform

SCALE_FLOOR = 1e-8


class Trained(NamedTuple):
    """What a training step needs: `wave` [B, T] at the input's level, `codes` [K, B, frames] (-1 where a level was
    dropped), `commitment` [K] mean squared errors, `embedding` and `quantized` [B, frames, dim]."""

    wave: Tensor
    codes: Tensor
    commitment: Tensor
    embedding: Tensor
    quantized: Tensor


class FunCodec(nn.Module):
    """The whole codec of one `FunCodecConfig`. Waves are [B, T] float32 at `config.sample_rate`.

    All waves of a batch must have their true length: level and group normalisation see every sample, so padding one
    changes its codes.
    """

    def __init__(self, config: FunCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.transform = Transform(config.domain, config.flat)
        shape = config.channels, config.dim
        self.encoder = Encoder(*shape, config.strides[::-1], config.encoder, config.norm, config.causal)
        self.quantizer = ResidualVQ(
            config.codebooks,
            config.codebook_size,
            config.dim,
            decay=config.codebook_decay,
            dropout=tuple(n for n in config.dropout if n <= config.codebooks),
        )
        self.decoder = Decoder(*shape, config.strides, config.decoder, config.norm, config.causal)

    def normalise(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Wave [B, T] at unit level, and the level [B, 1] it had (root mean square)."""
        if not self.config.normalise:
            return wave, torch.ones_like(wave[:, :1])
        scale = SCALE_FLOOR + wave.pow(2).mean(dim=1, keepdim=True).sqrt()
        return wave / scale, scale

    def embed(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Wave [B, T] -> embeddings [B, frames, dim] before quantization, and scale [B, 1]."""
        wave, scale = self.normalise(wave)
        return self.encoder(self.transform.analyse(wave)), scale

    def encode(self, wave: Tensor, levels: int | None = None) -> tuple[Tensor, Tensor]:
        """Wave [B, T] -> codes [K, B, frames] of the first `levels` codebooks (None: all), and scale [B, 1].

        Frames: ceil(T / hop) in the time domain, ceil((1 + T // 160) / strides) on the STFT grid.
        """
        embedding, scale = self.embed(wave)
        return self.quantizer.encode(embedding, levels), scale

    def decode(self, codes: Tensor, scale: Tensor | None = None, *, whole: bool = False) -> Tensor:
        """Codes [K, B, frames] (any K up to all) -> wave [B, T'], at unit level or times `scale` [B, 1].

        T' is frames * hop in the time domain; the STFT domains end 160 samples earlier unless `whole`.
        """
        return self.decode_embedding(self.quantizer.decode(codes), scale, whole=whole)

    def decode_embedding(self, embedding: Tensor, scale: Tensor | None = None, *, whole: bool = False) -> Tensor:
        """Sums of codewords, or any embeddings [B, frames, dim], -> wave [B, T']."""
        wave = self.transform.synthesise(self.decoder(embedding), whole=whole)
        return wave if scale is None else wave * scale

    def reconstruct(self, wave: Tensor, levels: int | None = None) -> Tensor:
        """Wave [B, T] -> decoded wave at the input's level, cut to T as the published inference does; the STFT domains
        may fall up to 159 samples short of T."""
        codes, scale = self.encode(wave, levels)
        return self.decode(codes, scale)[:, : wave.shape[1]]

    def forward(self, wave: Tensor, levels: int | None = None) -> Trained:
        """One pass for training, wave [B, T]. In training mode the codebooks learn and, without `levels`, the number of
        levels is drawn from `config.dropout`. The wave that comes back has the length min(T, decoded)."""
        embedding, scale = self.embed(wave)
        quantized = self.quantizer(embedding, levels)
        out = self.decode_embedding(quantized.words, scale)[:, : wave.shape[1]]
        return Trained(out, quantized.indices, quantized.commitment, embedding, quantized.words)
