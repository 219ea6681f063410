"""Decompressor: codes back to features at the encoder's frame rate (FocalCodec, section 3.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.fast_linear import Linear, PatchTranspose1d
from ..blocks.lengths import zero_padding
from .config import DecompressorConfig
from .variants import make_activation, make_block

# Per layer: one context per focal level. Upscaling needs none: its kernel equals its stride.
DecompressorState = tuple[tuple[Tensor, ...], ...]


class UpScale(nn.Module):
    """The activation (Snake), then a transposed convolution with kernel = stride = factor."""

    def __init__(self, in_dim: int, out_dim: int, factor: int, config: DecompressorConfig) -> None:
        super().__init__()
        self.activation = make_activation(in_dim, config)
        self.upscale = PatchTranspose1d(in_dim, out_dim, factor, factor)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T * factor, C']."""
        return self.upscale(self.activation(x.transpose(1, 2)).transpose(1, 2))


class DecompressorLayer(nn.Module):
    """A focal block, then upscaling."""

    def __init__(self, in_dim: int, out_dim: int, factor: int, config: DecompressorConfig, window_size: int) -> None:
        super().__init__()
        self.factor = factor
        self.focal_block = make_block(in_dim, config, window_size)  # named as in published checkpoints
        self.upscale = UpScale(in_dim, out_dim, factor, config)

    def forward(
        self, x: Tensor, lengths: Tensor | None, contexts: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
        """x [B, T, C], lengths [B] -> [B, T * factor, C'], the new lengths and contexts."""
        x, contexts = self.focal_block(x, lengths, contexts)
        return self.upscale(x), None if lengths is None else lengths * self.factor, contexts


class Refiner(nn.Module):
    """Residual network over groups of frames that arrive together (FocalCodec-Stream, arXiv 2509.16195)."""

    def __init__(self, dim: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.in_proj = Linear(dim * group, dim * group)
        self.out_proj = Linear(dim * group, dim * group)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """x [B, T, C] -> [B, T, C]; groups count from the first frame given, the last is filled with zeros."""
        batch, frames, dim = x.shape
        y = F.pad(zero_padding(x, lengths), (0, 0, 0, -frames % self.group))
        y = self.out_proj(F.gelu(self.in_proj(y.reshape(batch, -1, self.group * dim))))
        return x + y.reshape(batch, -1, dim)[:, :frames]


class Decompressor(nn.Module):
    """Codes [B, T', input_dim] -> features [B, T' * product of the factors, output_dim]."""

    def __init__(self, config: DecompressorConfig) -> None:
        super().__init__()
        dims = (*config.hidden_dims, config.output_dim)
        count = len(config.hidden_dims)
        self.in_proj = Linear(config.input_dim, dims[0])
        self.layers = nn.ModuleList(
            DecompressorLayer(
                dims[i],
                dims[i + 1],
                factor,
                config,
                config.last_window_size if i == count - 1 else config.window_size,
            )
            for i, factor in enumerate(config.upscale_factors)
        )
        refined = config.causal and config.lookahead_size > 0
        self.refiner = Refiner(config.output_dim, 1 + config.lookahead_size) if refined else None

    def forward(
        self, codes: Tensor, lengths: Tensor | None = None, state: DecompressorState | None = None
    ) -> tuple[Tensor, DecompressorState]:
        """codes [B, T', input_dim], lengths [B] tokens -> features [B, T'', output_dim] and the next state (causal)."""
        x = self.in_proj(codes)
        following = []
        for i, layer in enumerate(self.layers):
            x, lengths, contexts = layer(x, lengths, None if state is None else state[i])
            following.append(contexts)
        if self.refiner is not None:
            x = self.refiner(x, lengths)
        return x, tuple(following)
