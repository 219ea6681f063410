"""Snake activation (Ziyin et al. 2020, arXiv 2006.08195): x + sin(a x)^2 / a, one learned a a channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Snake(nn.Module):
    """Snake with a per-channel frequency ``alpha`` of shape [C, 1].

    The denominator is ``alpha + 1e-9``, as in the vocoders that made the activation common.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] -> [B, C, T]."""
        return x + torch.sin(self.alpha * x).square() / (self.alpha + 1e-9)
