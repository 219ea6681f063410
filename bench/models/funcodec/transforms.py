"""The representations between a wave and the networks: samples, or planes on an STFT grid.

STFT: 512 points, hop 160 samples, periodic Hann window, centred with reflection; logarithms are natural.

Reference: FunCodec (arXiv 2309.07405, section 2.3).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.funcodec.config import STFT_HOP, STFT_SIZE, Domain

FLOOR = 1e-6


class Transform(nn.Module):
    """`analyse`: wave [B, T] -> planes [B, C, T] (time) or [B, C, 257, 1 + T // 160]; `synthesise` goes back, the STFT
    domains to 160 (frames - 1) samples. Analysis gives the log magnitude, synthesis reads softplus of it as a linear one:
    the decoder learns its own scale, so the two are no inverses of one another."""

    window: Tensor

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.domain = domain
        self.register_buffer("window", torch.hann_window(STFT_SIZE), persistent=False)

    @property
    def min_samples(self) -> int:
        """Shortest wave the reflection of the STFT allows."""
        return 1 if self.domain == "time" else STFT_SIZE // 2 + 1

    def analyse(self, wave: Tensor) -> Tensor:
        if self.domain == "time":
            return wave.unsqueeze(1)
        if wave.shape[-1] < self.min_samples:
            raise ValueError(f"{wave.shape[-1]} samples; the STFT needs at least {self.min_samples}")
        grid = torch.stft(wave, STFT_SIZE, STFT_HOP, window=self.window, center=True, return_complex=True)
        if self.domain == "stft":
            return torch.stack([grid.real, grid.imag], dim=1)
        magnitude = grid.abs().clamp_min(FLOOR)
        if self.domain == "mag_angle":
            return torch.stack([magnitude.log(), grid.angle()], dim=1)
        return torch.stack([magnitude.log(), grid.real / magnitude, grid.imag / magnitude], dim=1)

    def synthesise(self, planes: Tensor) -> Tensor:
        """-> wave [B, T]."""
        if self.domain == "time":
            return planes.squeeze(1)
        planes = planes.float()
        if self.domain == "stft":
            grid = torch.complex(planes[:, 0].contiguous(), planes[:, 1].contiguous())
        elif self.domain == "mag_angle":
            grid = torch.polar(F.softplus(planes[:, 0]), math.pi * planes[:, 1].sin())
        else:
            magnitude = F.softplus(planes[:, 0])
            # The phase vector is not brought to unit length: its length is part of what the decoder says.
            grid = torch.complex(magnitude * planes[:, 1], magnitude * planes[:, 2])
        return torch.istft(grid, STFT_SIZE, STFT_HOP, window=self.window, center=True)
