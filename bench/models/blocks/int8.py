"""Weights as 8-bit integers with one scale per row: half the size of float16 files, for small networks that ship.

A matrix NAME becomes int8 NAME and float32 `NAME.scale` [rows]; row r of the original is about scale[r] * NAME[r], off by
at most half a scale. Only the file is small: networks compute in float32 with what `unpack` gives back.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
SMALLEST = 4096
"""Tensors with fewer values stay as they are."""


def pack(state: Mapping[str, Tensor], keep: tuple[str, ...] = (".embed",)) -> dict[str, Tensor]:
    """Float tensors of two and more dimensions as int8 with scales; the rest, and names that end in `keep`, as float16."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            out[name] = value
        elif value.ndim < 2 or value.numel() < SMALLEST or name.endswith(keep):
            out[name] = value.half()
        else:
            rows = value.detach().float().flatten(1)
            scale = rows.abs().amax(1).clamp_min(1e-12) / 127.0
            out[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(value.shape)
            out[name + SCALE] = scale
    return out


def unpack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `pack`, float32 where it was int8; a state without int8 matrices comes back unchanged."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(SCALE) and state.get(name.removesuffix(SCALE), value).dtype == torch.int8:
            continue
        scale = state.get(name + SCALE)
        if value.dtype == torch.int8 and scale is not None:
            out[name] = value.float() * scale.view(-1, *[1] * (value.ndim - 1))
        else:
            out[name] = value
    return out
