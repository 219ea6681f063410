"""Mel filters and the log-mel spectrogram, in torch and without librosa."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _mel_to_hz(mel: Tensor) -> Tensor:
    # Slaney's scale: linear below 1 kHz (15 mel), logarithmic above
    step = math.log(6.4) / 27.0
    return torch.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * torch.exp(step * (mel - 15.0)))


def _hz_to_mel(hz: float) -> float:
    if hz < 1000.0:
        return hz * 3.0 / 200.0
    return 15.0 + 27.0 * math.log(hz / 1000.0) / math.log(6.4)


def slaney_filters(rate_hz: int, n_fft: int, bands: int, low_hz: float = 0.0, high_hz: float | None = None) -> Tensor:
    """Triangular mel filters of unit area on Slaney's scale: float32 [bands, n_fft // 2 + 1].

    The same as librosa's default filters. high_hz: None = half the sampling rate.
    """
    top = rate_hz / 2 if high_hz is None else high_hz
    mels = torch.linspace(_hz_to_mel(low_hz), _hz_to_mel(top), bands + 2, dtype=torch.float64)
    edges = _mel_to_hz(mels)
    bins = torch.linspace(0.0, rate_hz / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()


class LogMel(nn.Module):
    """Natural log of a magnitude mel spectrogram with exactly T / hop frames.

    rate_hz: sampling rate. n_fft, win, hop: samples. bands: mel bands from 0 Hz to rate_hz / 2.
    The wave is extended by reflection by (n_fft - hop) / 2 samples on each side and not centred; magnitudes are
    clamped at 1e-5 before the logarithm (the training mel of SuperCodec).
    """

    filters: Tensor
    window: Tensor

    def __init__(self, rate_hz: int, n_fft: int, win: int, hop: int, bands: int) -> None:
        super().__init__()
        self.n_fft, self.win, self.hop = n_fft, win, hop
        self.register_buffer("filters", slaney_filters(rate_hz, n_fft, bands), persistent=False)
        self.register_buffer("window", torch.hann_window(win), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """wave [B, T] with T > (n_fft - hop) / 2 -> [B, bands, T // hop]."""
        with torch.autocast(wave.device.type, enabled=False):
            side = (self.n_fft - self.hop) // 2
            padded = F.pad(wave.float()[:, None], (side, side), mode="reflect")[:, 0]
            spectrum = torch.stft(padded, self.n_fft, self.hop, self.win, self.window, center=False, return_complex=True)
            # the 1e-9 keeps the gradient of the magnitude finite in digital silence
            magnitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-9)
            return torch.log((self.filters @ magnitude).clamp(min=1e-5))
