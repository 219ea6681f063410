"""Lengths of the signals in a padded batch, and the masks that make padding invisible."""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """lengths [B] (frames) -> bool [B, size], true on the frames that belong to the signal."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def zero_padding(x: Tensor, lengths: Tensor | None, time: int = 1) -> Tensor:
    """Set to zero what lies beyond each signal's length. x [B, ...] with time on axis ``time`` (1 or -1)."""
    if lengths is None:
        return x
    mask = length_mask(lengths, x.shape[time])
    shape = [1] * x.ndim
    shape[0], shape[time] = mask.shape
    return x.masked_fill(~mask.view(shape), 0)
