"""Conformer layer (Gulati et al. 2020, arXiv 2005.08100, section 2), time-major: attention without relative positions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .fast_linear import Linear, PatchConv1d, depthwise


class FeedForward(nn.Module):
    """LayerNorm, Linear, Swish, Linear. [B, T, dim] -> [B, T, dim]."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.in_proj = Linear(dim, hidden_dim)
        self.out_proj = Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(F.silu(self.in_proj(self.norm(x))))


class SelfAttention(nn.Module):
    """LayerNorm and multi-head attention over all frames. [B, T, dim] -> [B, T, dim]."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim)
        self.qkv_proj = Linear(dim, 3 * dim)
        self.out_proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, _ = x.shape
        q, k, v = self.qkv_proj(self.norm(x)).view(batch, frames, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Convolution(nn.Module):
    """LayerNorm, gated linear unit, depthwise convolution, LayerNorm, Swish, Linear. [B, T, dim] -> [B, T, dim]."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.pad = (kernel - 1) // 2
        self.norm = nn.LayerNorm(dim)
        self.in_proj = PatchConv1d(dim, 2 * dim, 1)
        self.conv = nn.Conv1d(dim, dim, kernel, groups=dim)
        self.conv_norm = nn.LayerNorm(dim)
        self.out_proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.glu(self.in_proj(self.norm(x)), dim=-1)
        x = depthwise(F.pad(x, (0, 0, self.pad, self.pad)), self.conv)
        return self.out_proj(F.silu(self.conv_norm(x)))


class ConformerLayer(nn.Module):
    """Half a feed-forward step, attention, convolution, the other half, LayerNorm. [B, T, dim] -> [B, T, dim]."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, kernel: int) -> None:
        super().__init__()
        self.feed_forward1 = FeedForward(dim, ffn_dim)
        self.attention = SelfAttention(dim, num_heads)
        self.convolution = Convolution(dim, kernel)
        self.feed_forward2 = FeedForward(dim, ffn_dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.feed_forward1(x)
        x = x + self.attention(x)
        x = x + self.convolution(x)
        return self.norm(x + 0.5 * self.feed_forward2(x))
