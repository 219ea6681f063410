"""Rows of different lengths in one batch, computed as if each stood alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

Count = TypeVar("Count", int, Tensor)


def valid(lengths: Tensor, size: int) -> Tensor:
    """True where a row of length lengths [B] has something: bool [B, size]."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def after_convolutions(length: Count, shapes: Iterable[tuple[int, int]]) -> Count:
    """Frames of `length` samples after convolutions without padding, each (kernel, stride)."""
    for kernel, stride in shapes:
        length = (length - kernel) // stride + 1
    return length


def mean(x: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the frames that are there: x [B, N, D] -> [B, D]."""
    there = valid(lengths, x.shape[1])[..., None]
    return x.masked_fill(~there, 0.0).sum(1) / lengths[:, None]


def deviation(x: Tensor, lengths: Tensor) -> Tensor:
    """Standard deviation (over n - 1) of the frames that are there: x [B, N, D] -> [B, D]."""
    there = valid(lengths, x.shape[1])[..., None]
    gap = (x - mean(x, lengths)[:, None]).masked_fill(~there, 0.0)
    return (gap.square().sum(1) / (lengths - 1)[:, None]).sqrt()


def channel_norm(norm: nn.GroupNorm, x: Tensor, lengths: Tensor) -> Tensor:
    """`norm`, whose groups are single channels, over the frames that are there: x [B, C, N] -> [B, C, N]."""
    there = valid(lengths, x.shape[-1])[:, None]
    count = lengths[:, None, None]
    centred = (x - x.masked_fill(~there, 0.0).sum(-1, keepdim=True) / count).masked_fill(~there, 0.0)
    scale = (centred.square().sum(-1, keepdim=True) / count + norm.eps).rsqrt()
    return centred * scale * norm.weight[:, None] + norm.bias[:, None]
