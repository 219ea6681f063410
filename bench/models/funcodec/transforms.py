"""The representations between a wave and the networks: samples, or planes on an STFT grid.

STFT: 512 points, hop 160 samples, periodic Hann window, centred with reflection; logarithms are natural.

Reference: FunCodec (arXiv 2309.07405, section 2.3).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.funcodec.config import BINS, STFT_HOP, STFT_SIZE, Domain

FLOOR = 1e-6


class Transform(nn.Module):
    """`analyse`: wave [B, T] -> planes [B, C, T] (time) or [B, C, 257, 1 + T // 160]; `synthesise` goes back, the STFT
    domains to 160 (frames - 1) samples. `flat` lays planes end to end: [B, 257 C, 1 + T // 160]. Analysis gives the log
    magnitude, synthesis reads softplus of it as a linear one: the decoder learns its own scale, so the two are no
    inverses of one another."""

    window: Tensor

    def __init__(self, domain: Domain, flat: bool = False) -> None:
        super().__init__()
        self.domain = domain
        self.flat = flat
        self.register_buffer("window", torch.hann_window(STFT_SIZE), persistent=False)

    @property
    def min_samples(self) -> int:
        """Shortest wave the reflection of the STFT allows."""
        return 1 if self.domain == "time" else STFT_SIZE // 2 + 1

    def analyse(self, wave: Tensor) -> Tensor:
        """wave [B, T] -> planes [B, C, (F,) N]. Raises ValueError where the wave is shorter than the STFT needs."""
        if self.domain == "time":
            return wave.unsqueeze(1)
        if wave.shape[-1] < self.min_samples:
            raise ValueError(f"{wave.shape[-1]} samples; the STFT needs at least {self.min_samples}")
        return self.planes_of(F.pad(wave.unsqueeze(1), (STFT_SIZE // 2,) * 2, mode="reflect").squeeze(1))

    def planes_of(self, padded: Tensor) -> Tensor:
        """Planes of a wave [B, T] that has been reflected at both ends already."""
        grid = torch.stft(padded, STFT_SIZE, STFT_HOP, window=self.window, center=False, return_complex=True)
        if self.domain == "stft":
            planes = torch.stack([grid.real, grid.imag], dim=1)
        else:
            magnitude = grid.abs().clamp_min(FLOOR)
            if self.domain == "mag_angle":
                planes = torch.stack([magnitude.log(), grid.angle()], dim=1)
            else:
                planes = torch.stack([magnitude.log(), grid.real / magnitude, grid.imag / magnitude], dim=1)
        return planes.flatten(1, 2) if self.flat else planes

    def synthesise(self, planes: Tensor, *, whole: bool = False) -> Tensor:
        """-> wave [B, T]. An STFT of F frames gives 160 (F - 1) samples, or `whole`, 160 F: the last 160 lie under the
        falling half of the last window, and fade out where it has not enough weight left to divide by."""
        if self.domain == "time":
            return planes.squeeze(1)
        grid = self.grid_of(planes)
        length = STFT_HOP * grid.shape[-1] if whole else None
        wave = torch.istft(grid, STFT_SIZE, STFT_HOP, window=self.window, center=True, length=length)
        if whole:
            half = self.window[STFT_SIZE // 2 :].square()
            weight = half[:STFT_HOP] + F.pad(half[STFT_HOP:], (0, 2 * STFT_HOP - len(half)))
            wave = torch.cat([wave[:, :-STFT_HOP], wave[:, -STFT_HOP:] * (2 * weight).clamp_max(1)], dim=1)
        return wave

    def grid_of(self, planes: Tensor) -> Tensor:
        """The complex grid [B, 257, frames] that planes stand for."""
        planes = planes.float()
        if self.flat:
            planes = planes.unflatten(1, (-1, BINS))
        if self.domain == "stft":
            return torch.complex(planes[:, 0].contiguous(), planes[:, 1].contiguous())
        if self.domain == "mag_angle":
            return torch.polar(F.softplus(planes[:, 0]), math.pi * planes[:, 1].sin())
        magnitude = F.softplus(planes[:, 0])
        # The phase vector is not brought to unit length: its length is part of what the decoder says.
        return torch.complex(magnitude * planes[:, 1], magnitude * planes[:, 2])
