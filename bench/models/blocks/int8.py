"""Weights as 8-bit integers with scales: half the size of float16 files, for small networks that ship.

A matrix NAME becomes int8 NAME and float32 `NAME.scale` [rows]; row r of the original is about scale[r] * NAME[r], off by
at most half a scale. Where single large weights stand among small ones (rows of identities), a scale per row is too
coarse: then `NAME.scales`, float16, holds one for every GROUP weights in the order of memory. Only the file is small:
networks compute in float32 with what `unpack` gives back.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE, SCALES = ".scale", ".scales"
GROUP = 16
SMALLEST = 4096
"""Tensors with fewer values stay as they are."""


def pack(state: Mapping[str, Tensor], keep: tuple[str, ...] = (".embed",), grouped: bool = False) -> dict[str, Tensor]:
    """Float tensors of two and more dimensions as int8 with scales per row, or `grouped`; the rest, and names that end in
    `keep`, as float16."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            out[name] = value
        elif value.ndim < 2 or value.numel() < SMALLEST or name.endswith(keep):
            out[name] = value.half()
        elif grouped:
            groups = _groups(value.detach().float())
            # The rounded scale is the one that the integers are made for.
            scales = (groups.abs().amax(1) / 127.0).half().clamp_min(2.0**-24)
            whole = (groups / scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
            out[name] = whole.flatten()[: value.numel()].reshape(value.shape)
            out[name + SCALES] = scales
        else:
            whole, out[name + SCALE] = of_rows(value.detach().float().flatten(1))
            out[name] = whole.reshape(value.shape)
    return out


def of_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """rows [out, in] -> int8 [out, in] in -127 .. 127 and the scale of each row, float32 [out]."""
    scale = rows.abs().amax(1).clamp_min(1e-12) / 127.0
    return (rows / scale[:, None]).round_().to(torch.int8), scale


def unpack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `pack`, float32 where it was int8; a state without int8 matrices comes back unchanged."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        matrix = state.get(name.removesuffix(SCALES).removesuffix(SCALE), value)
        if name.endswith((SCALE, SCALES)) and matrix.dtype == torch.int8:
            continue
        if value.dtype == torch.int8 and name + SCALE in state:
            out[name] = value.float() * state[name + SCALE].view(-1, *[1] * (value.ndim - 1))
        elif value.dtype == torch.int8 and name + SCALES in state:
            groups = _groups(value.float()) * state[name + SCALES].float()[:, None]
            out[name] = groups.flatten()[: value.numel()].reshape(value.shape)
        else:
            out[name] = value
    return out


def _groups(value: Tensor) -> Tensor:
    """value of any shape -> [groups, GROUP], zeros at the end."""
    return F.pad(value.flatten(), (0, -value.numel() % GROUP)).view(-1, GROUP)
