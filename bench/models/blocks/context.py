"""Left context of causal convolutions: what a streaming layer must remember between two chunks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Fill = Literal["replicate", "zeros"]


def extend_left(x: Tensor, frames: int, context: Tensor | None, fill: Fill, time: int = 1) -> tuple[Tensor, Tensor]:
    """Put ``frames`` past frames before ``x`` and say what to remember for the next call.

    x [B, T, C] (or [B, C, T] with time = -1); context of ``frames`` frames from the previous call, or None at the start
    of a signal, where the past is the first frame repeated (``replicate``) or silence (``zeros``).
    Returns the extended input of frames + T frames and its last ``frames`` frames, the next context.
    """
    if context is None:
        first = x.narrow(time, 0, 1)
        shape = list(x.shape)
        shape[time] = frames
        context = first.expand(shape) if fill == "replicate" else first.new_zeros(shape)
    extended = torch.cat([context, x], dim=time) if frames else x
    return extended, extended.narrow(time, extended.shape[time] - frames, frames)
