"""The transformer block of Stable Codec, time-major: attention within a window, half-rotated heads, gated feed-forward.

Module names are those of the published checkpoints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.fast_linear import Linear, PatchConv1d, depthwise

EPSILON = 1e-2
# Queries that attend at a time: with a window, memory then grows with T and not with its square.
BLOCK = 256


class Norm(nn.Module):
    """LayerNorm over [..., dim] whose shift is a constant of the file (zero in the official code)."""

    beta: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))
        self.register_buffer("beta", torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.gamma, self.beta, EPSILON)


class Scale(nn.Module):
    """LayerScale (Touvron et al. 2021): each channel times a learned factor."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., C] -> the same shape."""
        return x * self.scale


def rotation(frames: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, size] of the rotary positions (Su et al. 2021) 0 .. T - 1."""
    frequency = 10000.0 ** (-torch.arange(0, size, 2, device=like.device).float() / size)
    angles = torch.arange(frames, device=like.device).float()[:, None] * frequency
    angles = torch.cat([angles, angles], -1)
    return angles.cos().to(like), angles.sin().to(like)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """x [..., T, head] with its first dimensions, as many as `turn` [T, size] has, rotated; the others stay."""
    cos, sin = turn
    size = cos.shape[-1]
    part, rest = x[..., :size], x[..., size:]
    low, high = part.chunk(2, -1)
    return torch.cat([part * cos + torch.cat([-high, low], -1) * sin, rest], -1)


class WindowAttention(nn.Module):
    """Query i sees keys i - before .. i + after. [B, T, dim] -> [B, T, dim].

    The official code uses FlashAttention for this and, without it, attends to everything without a word.
    """

    def __init__(self, dim: int, window: tuple[int, int]) -> None:
        super().__init__()
        self.head = min(128, dim)
        self.before, self.after = window
        self.to_qkv = Linear(dim, 3 * dim, bias=False)
        self.to_out = Linear(dim, dim, bias=False)
        self.q_norm = nn.LayerNorm(self.head, eps=1e-6)
        self.k_norm = nn.LayerNorm(self.head, eps=1e-6)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        batch, frames, _ = x.shape
        q, k, v = self.to_qkv(x).view(batch, frames, 3, -1, self.head).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.q_norm(q), turn), rotate(self.k_norm(k), turn)
        blocks = []
        for first in range(0, frames, BLOCK):
            last = min(first + BLOCK, frames)
            start, end = max(0, first - self.before), min(frames, last + self.after)
            whole = last - 1 - start <= self.before and end - 1 - first <= self.after
            offset = torch.arange(start, end, device=x.device) - torch.arange(first, last, device=x.device)[:, None]
            mask = None if whole else (offset >= -self.before) & (offset <= self.after)
            blocks.append(F.scaled_dot_product_attention(q[:, :, first:last], k[:, :, start:end], v[:, :, start:end], mask))
        y = blocks[0] if len(blocks) == 1 else torch.cat(blocks, 2)
        return self.to_out(y.transpose(1, 2).flatten(2))


class Gated(nn.Module):
    """Linear to twice the width, one half times SiLU of the other."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.proj = Linear(dim, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., C] -> [..., C']."""
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.silu(gate)


class FeedForward(nn.Module):
    """Gated linear layer to four times the width and back; [..., C] -> the same shape."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ff = nn.Sequential(Gated(dim, 4 * dim), nn.Identity(), Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.ff(x)


class Conformer(nn.Module):
    """The convolution module of a Conformer. [B, T, dim] -> [B, T, dim]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_norm = Norm(dim)
        self.pointwise_conv = PatchConv1d(dim, dim, 1, bias=False)
        self.glu = Gated(dim, dim)
        self.depthwise_conv = nn.Conv1d(dim, dim, 17, groups=dim, bias=False)
        self.mid_norm = Norm(dim)
        self.pointwise_conv_2 = PatchConv1d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.glu(self.pointwise_conv(self.in_norm(x)))
        x = depthwise(F.pad(x, (0, 0, 8, 8)), self.depthwise_conv)
        return self.pointwise_conv_2(F.silu(self.mid_norm(x)))


class TransformerBlock(nn.Module):
    """Attention, perhaps a convolution module, feed-forward, each behind a norm and added. [B, T, dim] -> [B, T, dim]."""

    def __init__(self, dim: int, window: tuple[int, int], conformer: bool, layer_scale: bool) -> None:
        super().__init__()
        scale = Scale if layer_scale else lambda _: nn.Identity()
        self.pre_norm = Norm(dim)
        self.self_attn = WindowAttention(dim, window)
        self.self_attn_scale = scale(dim)
        self.ff_norm = Norm(dim)
        self.ff = FeedForward(dim)
        self.ff_scale = scale(dim)
        self.conformer = Conformer(dim) if conformer else None
        self.conformer_scale = scale(dim) if conformer else nn.Identity()

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn_scale(self.self_attn(self.pre_norm(x), turn))
        if self.conformer is not None:
            x = x + self.conformer_scale(self.conformer(x))
        return x + self.ff_scale(self.ff(self.ff_norm(x)))


class Transformers(nn.ModuleList):
    """Blocks one after the other over channel-major signals [B, dim, T]; the first and last entries hold places."""

    def __init__(self, dim: int, depth: int, window: tuple[int, int], conformer: bool, layer_scale: bool) -> None:
        blocks = (TransformerBlock(dim, window, conformer, layer_scale) for _ in range(depth))
        super().__init__([nn.Identity(), *blocks, nn.Identity()])
        self.rotated = min(128, dim) // 2

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        turn = rotation(x.shape[1], self.rotated, x)
        for block in list(self)[1:-1]:
            x = block(x, turn)
        return x.transpose(1, 2)
