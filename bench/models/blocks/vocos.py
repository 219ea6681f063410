"""The head of Vocos (Siuzdak 2023, arXiv 2306.00814): from features to samples by an inverse STFT."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .fast_linear import Linear
from .istft import istft_same


class VocosHead(nn.Module):
    """Log-magnitude and phase of each frame -> wave by inverse STFT."""

    def __init__(self, dim: int, n_fft: int, hop: int, causal: bool = False) -> None:
        super().__init__()
        self.n_fft, self.hop, self.causal = n_fft, hop, causal
        self.proj = Linear(dim, n_fft + 2)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x [B, T, dim] -> wave [B, T * hop]. Causal: the last hop samples of each frame, not overlapped."""
        magnitude, phase = self.proj(x).chunk(2, dim=-1)
        spectrum = torch.polar(magnitude.exp().clamp(max=100.0), phase)
        if self.causal:
            return torch.fft.irfft(spectrum, n=self.n_fft, dim=-1)[..., -self.hop :].flatten(1)
        return istft_same(spectrum, self.n_fft, self.hop, lengths)
