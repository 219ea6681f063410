"""DynamicTanh (Zhu et al. 2025, arXiv 2503.10622): tanh(alpha x), a normalisation without statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DynamicTanh(nn.Module):
    """tanh(alpha * x) with one learned scalar ``alpha`` of shape [1]; no weight, no bias."""

    def __init__(self, init: float = 0.5) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), init))

    def forward(self, x: Tensor) -> Tensor:
        """x [...] -> [...]."""
        return torch.tanh(self.alpha * x)
