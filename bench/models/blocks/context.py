"""Left context of causal convolutions: what a streaming layer must remember between two chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Fill = Literal["replicate", "zeros"]

# A past at least so many times as long as what is new is not copied for it, but kept with room behind.
LONG = 8


@dataclass
class _Line:
    """A buffer in which a signal grows: what lies before `end` is never written again."""

    buffer: Tensor
    end: int


def _may_grow(line: _Line, end: int, count: int, time: int) -> bool:
    """Whether `count` frames may be written behind `end`: nobody did, there is room, and this mode may write there."""
    room = line.end == end and end + count <= line.buffer.shape[time]
    return room and line.buffer.is_inference() == torch.is_inference_mode_enabled()


def append(past: Tensor, new: Tensor, time: int) -> Tensor:
    """torch.cat([past, new], time), without copying a long past for every few new frames.

    What comes back is for `last`, which makes the next past of it. Pasts stay what they are: two signals may go on from one.
    """
    frames, count = past.shape[time], new.shape[time]
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or frames < LONG * count:
        return torch.cat([past, new], dim=time)
    known: tuple[_Line, int] | None = getattr(past, "line", None)
    if known is not None and _may_grow(*known, count, time):
        line, end = known
    else:
        shape = list(past.shape)
        shape[time] = frames + max(LONG * count, frames // 4)
        line, end = _Line(past.new_empty(shape), frames), frames
        line.buffer.narrow(time, 0, frames).copy_(past)
    line.buffer.narrow(time, end, count).copy_(new)
    line.end = end + count
    whole = line.buffer.narrow(time, line.end - frames - count, frames + count)
    whole.line = (line, line.end)  # type: ignore[attr-defined]
    return whole


def last(x: Tensor, frames: int, time: int) -> Tensor:
    """The last frames of what `append` gave (or of any tensor), to append to."""
    kept = x.narrow(time, x.shape[time] - frames, frames)
    if hasattr(x, "line"):
        kept.line = x.line  # type: ignore[attr-defined]
    return kept


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
    extended = append(context, x, time) if frames else x
    return extended, last(extended, frames, time)
