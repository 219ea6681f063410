"""What comes before the blocks of Whisper's encoder (arXiv 2212.04356, section 2.2): log-mel and two convolutions.

For small encoders that start from Whisper's instead of from nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mel import slaney_filters


class WhisperStem(nn.Module):
    """Wave at 16 kHz -> features at 50 Hz, without Whisper's positions.

    dim, mels: widths of the convolutions and of the log-mel. floor: least log10 of a band's power. Whisper's own floor
    lies 8 below the clip's maximum; a fixed one hears every stretch of a clip alike.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, dim: int = 384, mels: int = 80, floor: float | None = None) -> None:
        super().__init__()
        self.floor = floor
        self.conv1 = nn.Conv1d(mels, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.register_buffer("filters", slaney_filters(16000, 400, mels), persistent=False)
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def log_mel(self, wave: Tensor) -> Tensor:
        """wave [B, T] -> [B, mels, T // 160]: log10 power mel, floored, (x + 4) / 4."""
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = torch.stft(wave.float(), 400, 160, window=self.window, return_complex=True)[..., :-1]
            power = spectrum.real.square() + spectrum.imag.square()
            log = (self.filters @ power).clamp_min(1e-10).log10()
            if self.floor is None:
                floor = log.amax(dim=(1, 2), keepdim=True).detach() - 8.0
            else:
                floor = log.new_full((), self.floor)
            return (torch.maximum(log, floor) + 4.0) / 4.0

    def stem(self, wave: Tensor) -> Tensor:
        """wave [B, T] -> [B, about T / 320, dim]."""
        return F.gelu(self.conv2(F.gelu(self.conv1(self.log_mel(wave))))).transpose(1, 2)

    def forward(self, wave: Tensor) -> Tensor:
        """wave [B, T] at 16 kHz -> features [B, N, dim] at 50 Hz."""
        return self.stem(wave)
