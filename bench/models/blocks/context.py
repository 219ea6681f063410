"""Left context of causal convolutions: what a streaming layer must remember between two chunks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Fill = Literal["replicate", "zeros"]


def extend_left(x: Tensor, frames: int, context: Tensor | None, fill: Fill) -> tuple[Tensor, Tensor]:
    """Put ``frames`` past frames before ``x`` and say what to remember for the next call.

    x [B, C, T]; context [B, C, frames] from the previous call, or None at the start of a signal, where the past
    is the first frame repeated (``replicate``) or silence (``zeros``).
    Returns the extended input [B, C, frames + T] and its last ``frames`` frames, the next context.
    """
    if frames == 0:
        return x, x[..., :0]
    if context is None:
        first = x[..., :1]
        past = first if fill == "replicate" else torch.zeros_like(first)
        context = past.expand(*x.shape[:-1], frames)
    extended = torch.cat([context, x], dim=-1)
    return extended, extended[..., -frames:]
