"""Decoders: features to waveform. Vocos (Siuzdak 2023, arXiv 2306.00814), WaveNeXt (Okamoto et al. 2023) and, of the
ablation, HiFi-GAN (Kong et al. 2020, arXiv 2010.05646)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..blocks.context import Fill
from ..blocks.convnext import ConvNeXtBlock, pad_frames
from ..blocks.fast_linear import Linear, PatchConv1d
from ..blocks.hifigan import Generator
from ..blocks.lengths import zero_padding
from ..blocks.vocos import VocosHead
from .config import AnyDecoder, HiFiGANConfig, VocosConfig, WaveNeXtConfig

# Contexts of the embedding convolution and of each block, [B, kernel - 1, C].
DecoderState = tuple[Tensor, ...]


class Backbone(nn.Module):
    """Convolution, LayerNorm, ConvNeXt blocks, LayerNorm: [B, T, input_dim] -> [B, T, dim]."""

    def __init__(self, config: VocosConfig | WaveNeXtConfig, causal_fill: Fill | None) -> None:
        super().__init__()
        self.causal_fill = causal_fill
        self.embedding = PatchConv1d(config.input_dim, config.dim, config.kernel_size)
        self.input_norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.layers = nn.ModuleList(
            ConvNeXtBlock(config.dim, config.ffn_dim, config.kernel_size, 1 / config.num_layers, causal_fill)
            for _ in range(config.num_layers)
        )
        self.output_norm = nn.LayerNorm(config.dim, eps=1e-6)

    def forward(self, x: Tensor, lengths: Tensor | None, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """x [B, T, input_dim], lengths [B] frames -> [B, T, dim] and (causal) the next contexts."""
        past = None if state is None else state[0]
        x, context = pad_frames(x, self.embedding.kernel_size[0], past, lengths, self.causal_fill)
        following = [context]
        x = self.input_norm(self.embedding(x))
        for i, layer in enumerate(self.layers):
            x, context = layer(x, None if state is None else state[i + 1], lengths)
            following.append(context)
        return self.output_norm(x), tuple(c for c in following if c is not None)


class WaveNeXtHead(nn.Module):
    """A linear layer that writes the samples of each frame."""

    def __init__(self, config: WaveNeXtConfig) -> None:
        super().__init__()
        self.proj = Linear(config.dim, config.hop_length)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """x [B, T, dim] -> wave [B, T * hop] in [-1, 1]."""
        return self.proj(x).flatten(1).clamp(-1, 1)


class HiFiGANDecoder(nn.Module):
    """HiFi-GAN's generator: features [B, T, input_dim] -> wave [B, T * hop_length]. Not causal."""

    def __init__(self, config: HiFiGANConfig) -> None:
        super().__init__()
        self.hop = config.hop_length
        self.generator = Generator(config.input_dim, config.dim, config.strides, config.kernels)

    def forward(
        self, feats: Tensor, lengths: Tensor | None = None, state: DecoderState | None = None
    ) -> tuple[Tensor, DecoderState]:
        """feats [B, T, input_dim], lengths [B] frames -> wave [B, T * hop], zero beyond lengths; there is no state."""
        if lengths is None:
            return self.generator(feats.transpose(1, 2))[:, 0], ()
        rows = [
            self.generator(row[None, :length].transpose(1, 2))[0, 0] for row, length in zip(feats, lengths.tolist(), strict=True)
        ]
        return torch.stack([nn.functional.pad(row, (0, feats.shape[1] * self.hop - len(row))) for row in rows]), ()


def make_decoder(config: AnyDecoder) -> nn.Module:
    """The decoder that the config names."""
    return HiFiGANDecoder(config) if isinstance(config, HiFiGANConfig) else Decoder(config)


class Decoder(nn.Module):
    """Features [B, T, input_dim] -> wave [B, T * hop_length]; Vocos or WaveNeXt, as its config says."""

    def __init__(self, config: VocosConfig | WaveNeXtConfig) -> None:
        super().__init__()
        self.hop = config.hop_length
        if isinstance(config, VocosConfig):
            self.backbone = Backbone(config, "replicate" if config.causal else None)
            self.head: nn.Module = VocosHead(config.dim, config.n_fft, config.hop_length, config.causal)
        else:
            self.backbone = Backbone(config, "zeros" if config.causal else None)
            self.head = WaveNeXtHead(config)

    def forward(
        self, feats: Tensor, lengths: Tensor | None = None, state: DecoderState | None = None
    ) -> tuple[Tensor, DecoderState]:
        """feats [B, T, input_dim], lengths [B] frames -> wave [B, T * hop], zero beyond lengths, and the next state."""
        x, state = self.backbone(feats, lengths, state)
        wave = self.head(x, lengths)
        return zero_padding(wave, None if lengths is None else lengths * self.hop), state
