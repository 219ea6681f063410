"""Finite scalar quantization (Mentzer et al. 2023, arXiv 2309.15505) on a symmetric grid, in one or several stages.

Every dimension of a value in [-scale, scale] is rounded to one of its L levels, evenly spaced from end to end; the token is
the number with those levels as digits, the first dimension being the lowest. A later stage quantises what is left over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class FSQ:
    """One stage: `levels` of each dimension, and the `scale` c of the grid -c, -c + h, ..., c with h = 2c / (L - 1)."""

    levels: tuple[int, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"levels {self.levels}: every dimension needs two or more")
        if self.scale <= 0:
            raise ValueError(f"scale {self.scale} must be above zero")

    @property
    def codes(self) -> int:
        """Number of different tokens."""
        return prod(self.levels)

    def _grid(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        levels = torch.tensor(self.levels, device=like.device)
        base = torch.cumprod(torch.cat([levels.new_ones(1), levels[:-1]]), 0)
        return levels, base, 2 * self.scale / (levels - 1).to(like)

    def encode(self, x: Tensor) -> Tensor:
        """x [..., D] -> tokens [...]. A value beyond the grid takes its end."""
        levels, base, step = self._grid(x)
        digits = torch.round((x + self.scale) / step).long()
        return (digits.clamp_min(0).minimum(levels - 1) * base).sum(-1)

    def decode(self, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """tokens [...] -> values [..., D]."""
        levels, base, step = self._grid(torch.empty(0, dtype=dtype, device=tokens.device))
        digits = tokens[..., None] // base % levels
        return digits.to(dtype) * step - self.scale

    def table(self) -> Tensor:
        """Values of all tokens, [codes, D]."""
        return self.decode(torch.arange(self.codes))


def encode(stages: Sequence[FSQ], x: Tensor) -> Tensor:
    """x [..., D] -> tokens [..., K], each stage on what the ones before left over."""
    found = []
    for stage in stages:
        tokens = stage.encode(x)
        x = x - stage.decode(tokens, x.dtype)
        found.append(tokens)
    return torch.stack(found, -1)


def decode(stages: Sequence[FSQ], tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """tokens [..., K] -> the sum of the stages' values [..., D]."""
    total = stages[0].decode(tokens[..., 0], dtype)
    for index, stage in enumerate(stages[1:], 1):
        total = total + stage.decode(tokens[..., index], dtype)
    return total
