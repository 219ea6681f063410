"""A content encoder and a waveform decoder on STFT frames: ours, not FreeCodec's.

SuperCodec works on the wave itself, which costs most of its arithmetic at rates far above 50 Hz. For training on a few
CPU cores these two take its place with the same shapes: log-mel frames through ConvNeXt blocks, and ConvNeXt blocks
into an inverse STFT (Vocos, arXiv 2306.00814). Chosen by `coder = "spectral"`; the paper's design is
`coder = "supercodec"`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.models.blocks.convnext import ConvNeXtBlock
from bench.models.blocks.istft import istft_same
from bench.models.blocks.mel import LogMel
from bench.models.blocks.whisper_stem import WhisperStem

from .config import FreeCodecConfig

WHISPER_DIM = 384
"""Width of Whisper-tiny's stem."""
WHISPER_FLOOR = -7.0
"""Least log10 power of a mel band that the stem hears: about where Whisper's own floor lies for speech."""


class _Blocks(nn.Module):
    """Convolution k7, ConvNeXt blocks, LayerNorm. [B, T, I] -> [B, T, width]."""

    def __init__(self, inputs: int, width: int, count: int) -> None:
        super().__init__()
        self.into = nn.Conv1d(inputs, width, 7, padding=3)
        self.norm_in, self.norm_out = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(width, 3 * width, 7, 1.0 / max(1, count), causal_fill=None) for _ in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_in(self.into(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x)[0]
        return self.norm_out(x)


class SpectralEncoder(nn.Module):
    """Wave [B, T] -> latent [B, T / hop, dim]."""

    def __init__(self, config: FreeCodecConfig) -> None:
        super().__init__()
        self.whisper = config.spectral_stem == "whisper"
        if self.whisper:
            self.stem: nn.Module = WhisperStem(WHISPER_DIM, floor=WHISPER_FLOOR)
        else:
            self.stem = LogMel(config.sample_rate, config.mel_fft, config.mel_win, config.hop, config.mel_bands)
        inputs = WHISPER_DIM if self.whisper else config.mel_bands
        self.blocks = _Blocks(inputs, config.spectral_dim, config.spectral_encoder_blocks)
        self.out = nn.Linear(config.spectral_dim, config.dim)

    def forward(self, wave: Tensor) -> Tensor:
        heard = self.stem(wave)
        return self.out(self.blocks(heard if self.whisper else heard.transpose(1, 2)))


class SpectralDecoder(nn.Module):
    """Latent [B, N, dim] -> wave [B, N x hop]: log magnitude and phase of each frame, inverse STFT."""

    def __init__(self, config: FreeCodecConfig) -> None:
        super().__init__()
        self.n_fft, self.hop = config.spectral_fft, config.hop
        self.blocks = _Blocks(config.dim, config.spectral_dim, config.spectral_decoder_blocks)
        self.out = nn.Linear(config.spectral_dim, config.spectral_fft + 2)

    def forward(self, latent: Tensor) -> Tensor:
        log_magnitude, phase = self.out(self.blocks(latent)).float().chunk(2, dim=-1)
        # bounded, so that one wild frame cannot blow up a training run
        magnitude = log_magnitude.clamp(max=7.0).exp()
        return istft_same(torch.polar(magnitude, phase), self.n_fft, self.hop)
