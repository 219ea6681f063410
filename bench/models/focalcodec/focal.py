"""Focal modulation (Yang et al. 2022, arXiv 2203.11926) over time, and the block around it.

Each frame is modulated by context gathered at growing widths: depthwise convolutions, one after the other, and a global
level, which is the mean over time or, if causal, one long depthwise convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.context import Fill, extend_left
from ..blocks.convnext import pad_frames
from ..blocks.dynamic_tanh import DynamicTanh
from ..blocks.fast_linear import Linear, PatchConv1d, depthwise, long_depthwise
from ..blocks.lengths import zero_padding
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
        self.in_proj = Linear(dim, 2 * dim + self.levels + 1)
        self.context_proj = PatchConv1d(dim, dim, 1)
        self.out_proj = Linear(dim, dim)
        kernels = [options.focal_window + options.focal_factor * level for level in range(self.levels)]
        if self.causal:
            kernels.append(window_size)
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv1d(dim, dim, kernel, groups=dim), nn.GELU()) for kernel in kernels)
        self.norm = make_norm(dim, options) if options.use_post_norm else None

    def forward(
        self, x: Tensor, lengths: Tensor | None, contexts: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x [B, T, C], lengths [B] frames -> [B, T, C] and (causal) one context [B, kernel - 1, C] per level."""
        query, context, gates = self.in_proj(x).split([self.dim, self.dim, self.levels + 1], dim=-1)
        following: list[Tensor] = []
        total: Tensor | float = 0.0
        for i in range(self.levels):
            conv = self.level_conv(i)
            past = None if contexts is None else contexts[i]
            fill: Fill | None = "replicate" if self.causal else None
            context, kept = pad_frames(context, conv.kernel_size[0], past, lengths, fill)
            if kept is not None:
                following.append(kept)
            context = F.gelu(depthwise(context, conv))
            total = total + context * gates[..., i : i + 1]
        if self.causal:
            level, kept = self.long_context(context, None if contexts is None else contexts[-1])
            following.append(kept)
        else:
            level = F.gelu(mean_over_time(context, lengths))
        total = total + level * gates[..., self.levels :]
        if self.normalize:
            total = total / (self.levels + 1)
        y = query * self.context_proj(total)
        if self.norm is not None:
            y = self.norm(y)
        return self.out_proj(y), tuple(following)

    def level_conv(self, level: int) -> nn.Conv1d:
        """The depthwise convolution of a level; causal models have one more, the global level."""
        conv = self.layers[level].get_submodule("0")
        assert isinstance(conv, nn.Conv1d)
        return conv

    def long_context(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Global level of causal models: x [B, T, C], context [B, C, window - 1] -> [B, T, C], the next context.

        Its context is channel-major: hundreds of frames that would otherwise be transposed for every chunk.
        """
        conv = self.level_conv(self.levels)
        y, context = extend_left(x.transpose(1, 2), conv.kernel_size[0] - 1, context, "replicate", time=-1)
        return F.gelu(long_depthwise(y, conv)).transpose(1, 2), context


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
