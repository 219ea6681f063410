"""Focal modulation (Yang et al. 2022, arXiv 2203.11926) over time, and the block around it.

Each frame is modulated by context gathered at growing widths: depthwise convolutions, one after the other, and a global
level, which is the mean over time or, if causal, one long depthwise convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.context import extend_left
from ..blocks.convnext import pad_and_convolve
from ..blocks.dynamic_tanh import DynamicTanh
from ..blocks.lengths import zero_padding
from ..blocks.long_conv import depthwise_valid
from .config import FocalOptions
from .wavlm import FeedForward


class FocalModulation(nn.Module):
    """Query times modulator; the modulator is the gated sum of all context levels (FocalCodec, section 3.2)."""

    def __init__(self, dim: int, options: FocalOptions, window_size: int) -> None:
        super().__init__()
        self.dim = dim
        self.levels = options.focal_level
        self.causal = options.causal
        self.normalize = options.normalize_modulator
        self.in_proj = nn.Linear(dim, 2 * dim + self.levels + 1)
        self.context_proj = nn.Conv1d(dim, dim, 1)
        self.out_proj = nn.Linear(dim, dim)
        kernels = [options.focal_window + options.focal_factor * level for level in range(self.levels)]
        if self.causal:
            kernels.append(window_size)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv1d(dim, dim, kernel, groups=dim), nn.GELU()) for kernel in kernels
        )
        self.norm = make_norm(dim, options) if options.use_post_norm else None

    def forward(
        self, x: Tensor, lengths: Tensor | None, contexts: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x [B, T, C], lengths [B] frames -> [B, T, C] and (causal) one context [B, C, kernel - 1] per level."""
        query, context, gates = self.in_proj(x).split([self.dim, self.dim, self.levels + 1], dim=-1)
        following: list[Tensor] = []
        total: Tensor | None = None
        if self.causal:
            context, gates = context.transpose(1, 2), gates.transpose(1, 2)
            for i, layer in enumerate(self.layers):
                past = None if contexts is None else contexts[i]
                context, kept = extend_left(context, layer[0].kernel_size[0] - 1, past, "replicate")
                following.append(kept)
                context = F.gelu(depthwise_valid(context, layer[0].weight, layer[0].bias))
                level = context * gates[:, i : i + 1]
                total = level if total is None else total + level
            assert total is not None
            total = total.transpose(1, 2)
        else:
            for i, layer in enumerate(self.layers):
                context = F.gelu(pad_and_convolve(layer[0], context, None, lengths, None)[0])
                level = context * gates[..., i : i + 1]
                total = level if total is None else total + level
            level = F.gelu(mean_over_time(context, lengths)) * gates[..., self.levels :]
            total = level if total is None else total + level
        if self.normalize:
            total = total / (self.levels + 1)
        # A convolution of kernel 1 is a linear layer over channels.
        y = query * F.linear(total, self.context_proj.weight[..., 0], self.context_proj.bias)
        if self.norm is not None:
            y = self.norm(y)
        return self.out_proj(y), tuple(following)


def mean_over_time(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x [B, T, C] -> [B, 1, C], over the first lengths [B] frames."""
    if lengths is None:
        return x.mean(dim=1, keepdim=True)
    return zero_padding(x, lengths).sum(dim=1, keepdim=True) / lengths.view(-1, 1, 1)


def make_norm(dim: int, options: FocalOptions) -> nn.Module:
    """LayerNorm, or DynamicTanh in causal models."""
    return DynamicTanh(options.tanhscale_init) if options.causal else nn.LayerNorm(dim)


class FocalBlock(nn.Module):
    """Focal modulation and feed-forward, each with norm and residual, optionally post-norm and scaled."""

    def __init__(self, dim: int, options: FocalOptions, window_size: int) -> None:
        super().__init__()
        self.post_norm = options.use_post_norm
        self.modulation_norm = make_norm(dim, options)
        self.modulation = FocalModulation(dim, options, window_size)
        self.feed_forward_norm = make_norm(dim, options)
        self.feed_forward = FeedForward(dim, 4 * dim)
        if options.use_layerscale:
            self.modulation_gamma: nn.Parameter | None = nn.Parameter(torch.full((dim,), options.layerscale_init))
            self.feed_forward_gamma: nn.Parameter | None = nn.Parameter(torch.full((dim,), options.layerscale_init))
        else:
            self.modulation_gamma = self.feed_forward_gamma = None

    def forward(
        self, x: Tensor, lengths: Tensor | None, contexts: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x [B, T, C] -> [B, T, C] and (causal) the contexts of the modulation."""
        y, contexts = self.modulation(x if self.post_norm else self.modulation_norm(x), lengths, contexts)
        if self.post_norm:
            y = self.modulation_norm(y)
        x = x + (y if self.modulation_gamma is None else y * self.modulation_gamma)
        y = self.feed_forward(x if self.post_norm else self.feed_forward_norm(x))
        if self.post_norm:
            y = self.feed_forward_norm(y)
        return x + (y if self.feed_forward_gamma is None else y * self.feed_forward_gamma), contexts
