"""Discrete WavLM codec (github lucadellalib/discrete-wavlm-codec 349d494; arXiv 2312.09747).

wave at 16 kHz -> WavLM-large features of some layers, 50 a second -> nearest of 512 k-means centroids per layer -> Conformer
that restores continuous features -> HiFi-GAN. Features are time-major with one slot a layer at the end: [B, T, C, K].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.conformer import ConformerLayer
from ..blocks.fast_linear import Linear
from ..blocks.hifigan import Generator
from ..blocks.residual_vq import nearest
from ..focalcodec.config import EncoderConfig
from ..focalcodec.position_bias import PositionBias
from ..focalcodec.spans import Spans
from ..focalcodec.wavlm import WavLM


@dataclass(frozen=True)
class DequantizerConfig:
    """The Conformer that restores features."""

    dim: int = 512
    num_heads: int = 4
    num_layers: int = 6
    ffn_dim: int = 512
    kernel: int = 31


@dataclass(frozen=True)
class WavLMKMConfig:
    """layers: numbers of the WavLM layers that are sent, one codebook of `codes` centroids each; the encoder is cut after
    the last. vocoder_channels: HiFi-GAN's width before its first stage."""

    layers: tuple[int, ...] = (6,)
    codes: int = 512
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    dequantizer: DequantizerConfig = field(default_factory=DequantizerConfig)
    vocoder_channels: int = 512
    strides: tuple[int, ...] = (10, 8, 2, 2)
    kernels: tuple[int, ...] = (20, 16, 4, 4)

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 1:
            raise ValueError(f"layers {list(self.layers)} must be different numbers from 1 up, in order")
        if self.encoder.num_layers != self.layers[-1]:
            raise ValueError(f"the encoder has {self.encoder.num_layers} layers, layer {self.layers[-1]} is to be sent")
        if math.prod(self.strides) != math.prod(self.encoder.strides):
            raise ValueError(f"vocoder strides {self.strides} do not make {math.prod(self.encoder.strides)} samples a frame")


class LayeredWavLM(WavLM):
    """WavLM that gives the outputs of several of its layers, of a wave brought to zero mean and unit variance."""

    def hidden(self, sig: Tensor, layers: tuple[int, ...]) -> Tensor:
        """sig [B, N] -> [B, T, C, K], T = (N - 400) // 320 + 1; no norm follows the last layer."""
        config, encoder = self.config, self.encoder
        x, _ = self.feature_extractor(F.layer_norm(sig, sig.shape[-1:]), None, None)
        x, _ = encoder.positional_embedding(self.feature_proj(self.norm(x)), None)
        frames = x.shape[1]
        spans = Spans(0, frames, None, False, config.window_size, config.lookahead_size)
        bias = PositionBias(encoder.relative_embedding.weight, frames - 1, frames - 1, config.max_distance)
        found = []
        for number, layer in enumerate(encoder.layers, 1):
            x, _ = layer(x, bias, spans, None)
            if number in layers:
                found.append(x)
        return torch.stack(found, -1)


class Quantizer(nn.Module):
    """One table of k-means centroids [V, C] a layer."""

    centroids: Tensor

    def __init__(self, layers: int, codes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("centroids", torch.zeros(layers, codes, dim))

    def encode(self, feats: Tensor) -> Tensor:
        """feats [B, T, C, K] -> indices of the nearest centroids [B, T, K]."""
        rows = [
            nearest(part.flatten(0, 1), table).view(part.shape[:2])
            for part, table in zip(feats.unbind(-1), self.centroids, strict=True)
        ]
        return torch.stack(rows, -1)

    def decode(self, indices: Tensor) -> Tensor:
        """indices [B, T, K] -> centroids [B, T, C, K]."""
        return torch.stack([table[row] for row, table in zip(indices.unbind(-1), self.centroids, strict=True)], -1)


def sinusoids(frames: int, dim: int) -> Tensor:
    """Positions [T, dim]: sine in even columns, cosine in odd ones. The published table ends at 2000 frames (40 s)."""
    step = torch.exp(torch.arange(0, dim, 2).float() * -(math.log(10000.0) / dim))
    angles = torch.arange(frames).float()[:, None] * step
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class Dequantizer(nn.Module):
    """Centroids [B, T, C, K] -> features [B, T, C, K]."""

    def __init__(self, layers: int, channels: int, config: DequantizerConfig) -> None:
        super().__init__()
        self.frontend = nn.Linear(layers, 1)
        self.in_proj = Linear(channels, config.dim)
        self.layers = nn.ModuleList(
            ConformerLayer(config.dim, config.num_heads, config.ffn_dim, config.kernel) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.head = Linear(config.dim, channels)
        self.backend = nn.Linear(1, layers)

    def forward(self, words: Tensor) -> Tensor:
        x = self.in_proj(self.frontend(words)[..., 0])
        x = x + sinusoids(x.shape[1], x.shape[2]).to(x)
        for layer in self.layers:
            x = layer(x)
        return self.backend(self.head(self.norm(x))[..., None])


class Vocoder(nn.Module):
    """Features [B, T, C, K] -> wave [B, 320 T]. Convolutions reflect, which takes 4 frames or more."""

    def __init__(self, layers: int, channels: int, config: WavLMKMConfig) -> None:
        super().__init__()
        self.in_proj = nn.Linear(layers, 1)
        self.generator = Generator(
            channels, config.vocoder_channels, config.strides, config.kernels, padding="reflect", last_slope=0.01
        )

    def forward(self, feats: Tensor) -> Tensor:
        return self.generator(self.in_proj(feats)[..., 0].transpose(1, 2))[:, 0]


class WavLMKM(nn.Module):
    """The codec."""

    least_frames = 4
    """The vocoder's first convolution reflects three frames."""

    def __init__(self, config: WavLMKMConfig) -> None:
        super().__init__()
        self.config = config
        books, channels = len(config.layers), config.encoder.dim
        self.encoder = LayeredWavLM(config.encoder)
        self.quantizer = Quantizer(books, config.codes, channels)
        self.dequantizer = Dequantizer(books, channels, config.dequantizer)
        self.vocoder = Vocoder(books, channels, config)

    def sig_to_feats(self, sig: Tensor) -> Tensor:
        """sig [B, N] at 16 kHz -> features [B, T, C, K], 50 frames a second."""
        return self.encoder.hidden(sig, self.config.layers)

    def encode(self, sig: Tensor) -> Tensor:
        """sig [B, N] -> indices [B, T, K]."""
        return self.quantizer.encode(self.sig_to_feats(sig))

    def dequantize(self, indices: Tensor) -> Tensor:
        """indices [B, T, K] -> features [B, T, C, K]."""
        return self.dequantizer(self.quantizer.decode(indices))

    def decode(self, indices: Tensor) -> Tensor:
        """indices [B, T, K] -> wave [B, 320 T]."""
        return self.vocoder(self.dequantize(indices))
