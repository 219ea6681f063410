"""FreeCodec's prosody encoder: the lowest 20 mel bins, two convolution stacks, max-pooling over 8 frames.

Stated by the paper: 20 lowest bins, FFT 1024, hop 320, the encoder of Mega-TTS 2 with two stacks and a pooling of 8,
256-d output at about 7 Hz. Inferred: 80 mel bands with the recipe of SuperCodec's training mel (so that the frames are
those of the content stream and 20 bins reach about 0.75 kHz); hidden width 256, 5 residual units in a stack, each
x + block(block(x)) with block = ReLU, dropout 0.1, convolution k5, LayerNorm; pooling in ceil mode (the paper's 7 Hz
and 57 tokens for one second are ceil(50 / 8) = 7 and 50 + 7).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.mel import LogMel

from .config import FreeCodecConfig


class ConvNorm(nn.Module):
    """ReLU, dropout, same-padded convolution, LayerNorm over channels. [B, T, C] -> [B, T, C]."""

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.dropout(F.relu(x)).transpose(1, 2)).transpose(1, 2)
        return self.norm(y)


class ResidualConvs(nn.Module):
    """Residual units, each x + block(...block(x)). [B, T, C] -> [B, T, C]."""

    def __init__(self, channels: int, units: int, convs: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            nn.Sequential(*(ConvNorm(channels, kernel, dropout) for _ in range(convs))) for _ in range(units)
        )

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.units:
            x = x + unit(x)
        return x


class ProsodyEncoder(nn.Module):
    """Wave [B, T] -> prosody [B, ceil(T / hop / 8), dim]."""

    def __init__(self, config: FreeCodecConfig) -> None:
        super().__init__()
        hidden, kernel = config.prosody_hidden, config.prosody_kernel
        self.bins, self.pool = config.prosody_bins, config.prosody_pool
        self.mel = LogMel(config.sample_rate, config.mel_fft, config.mel_win, config.hop, config.mel_bands)
        self.into = nn.Conv1d(config.prosody_bins, hidden, kernel, padding=kernel // 2)
        shape = (hidden, config.prosody_units, config.prosody_convs, kernel, config.prosody_dropout)
        self.before = ResidualConvs(*shape)
        self.after = ResidualConvs(*shape)
        self.out = nn.Conv1d(hidden, config.dim, kernel, padding=kernel // 2)

    def forward(self, wave: Tensor) -> Tensor:
        low = self.mel(wave)[:, : self.bins]
        x = self.before(self.into(low).transpose(1, 2)).transpose(1, 2)
        x = F.max_pool1d(x, self.pool, ceil_mode=True).transpose(1, 2)
        return self.out(self.after(x).transpose(1, 2)).transpose(1, 2)
