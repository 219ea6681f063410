"""Compressor: encoder features to low-dimensional latents, downsampled in time (FocalCodec, section 3.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.context import extend_left
from ..blocks.fast_linear import Linear, PatchConv1d
from ..blocks.lengths import zero_padding
from .config import CompressorConfig
from .variants import make_activation, make_block

# Per layer: the context of the downscaling convolution, then one per focal level.
CompressorState = tuple[tuple[Tensor, ...], ...]


class DownScale(nn.Module):
    """Convolution with kernel = stride = factor, then the activation (Snake)."""

    def __init__(self, in_dim: int, out_dim: int, factor: int, config: CompressorConfig) -> None:
        super().__init__()
        self.factor = factor
        self.causal = config.causal
        self.downscale = PatchConv1d(in_dim, out_dim, factor, factor)
        self.activation = make_activation(out_dim, config)

    def forward(self, x: Tensor, lengths: Tensor | None, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [B, T, C] -> [B, ceil(T / factor), C'] and the next context [B, factor - 1, C]."""
        y = zero_padding(x, lengths)
        if self.causal:
            y, context = extend_left(y, self.factor - 1, context, "replicate")
        else:
            y = F.pad(y, (0, 0, 0, -y.shape[1] % self.factor))
            context = y[:, :0]
        return self.activation(self.downscale(y).transpose(1, 2)).transpose(1, 2), context


class CompressorLayer(nn.Module):
    """Downscaling, then a focal block."""

    def __init__(self, in_dim: int, out_dim: int, factor: int, config: CompressorConfig) -> None:
        super().__init__()
        self.downscale = DownScale(in_dim, out_dim, factor, config)
        self.focal_block = make_block(out_dim, config, config.window_size)  # named as in published checkpoints

    def forward(
        self, x: Tensor, lengths: Tensor | None, contexts: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
        """x [B, T, C], lengths [B] -> [B, T', C'], the new lengths and contexts."""
        x, first = self.downscale(x, lengths, None if contexts is None else contexts[0])
        if lengths is not None:
            lengths = -(-lengths // self.downscale.factor)
        x, rest = self.focal_block(x, lengths, None if contexts is None else contexts[1:])
        return x, lengths, (first, *rest)


class Compressor(nn.Module):
    """Features [B, T, input_dim] -> latents [B, T', output_dim], not yet normalised."""

    def __init__(self, config: CompressorConfig) -> None:
        super().__init__()
        dims = (config.input_dim, *config.hidden_dims)
        self.layers = nn.ModuleList(
            CompressorLayer(dims[i], dims[i + 1], factor, config) for i, factor in enumerate(config.downscale_factors)
        )
        self.out_proj = Linear(dims[-1], config.output_dim)

    def forward(
        self, feats: Tensor, lengths: Tensor | None = None, state: CompressorState | None = None
    ) -> tuple[Tensor, CompressorState]:
        """feats [B, T, input_dim], lengths [B] frames -> latents [B, T', output_dim] and the next state (causal)."""
        following = []
        for i, layer in enumerate(self.layers):
            feats, lengths, contexts = layer(feats, lengths, None if state is None else state[i])
            following.append(contexts)
        return self.out_proj(feats), tuple(following)
