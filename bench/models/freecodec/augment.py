"""Spectrogram-resize augmentation of FreeCodec-v3's encoder inputs, after FreeVC (arXiv 2210.15418, section 2.2).

FreeVC stretches a mel spectrogram along frequency by 0.85 to 1.15, cuts it or fills it up to its old height, and
vocodes it back; the speaker changes, the words and their timing do not, and the target stays the clean wave. That needs
a vocoder. Without one (our default) the same resize is applied to the spectral envelope: the clip's STFT keeps its
phase and its harmonics, and each bin gets the gain between the envelope before and after the resize. So formants move
as in FreeVC and F0 stays, which FreeVC's version shifts along.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.mel import slaney_filters


def resize_mel(mel: Tensor, height: int, generator: torch.Generator | None = None) -> Tensor:
    """Stretch a log-mel spectrogram along frequency: [bands, T] -> [bands, T].

    height: bands after the stretch. What rises above the top is cut off; missing rows at the top are the highest row
    plus normal noise of 0.1 (FreeVC). generator: of that noise.
    """
    bands = mel.shape[0]
    resized = F.interpolate(mel[None, None], size=(height, mel.shape[1]), mode="bilinear", align_corners=False)[0, 0]
    if height >= bands:
        return resized[:bands]
    noise = torch.randn(bands - height, mel.shape[1], generator=generator, dtype=mel.dtype).to(mel.device)
    return torch.cat([resized, resized[-1:] + 0.1 * noise])


class SpectrogramResize(nn.Module):
    """Wave [B, T] -> wave [B, T] of another speaker, by spectrogram-resize.

    rate_hz: sampling rate. bands: mel bands. ratios: least and greatest stretch. order: cepstral coefficients kept of
    the log-mel envelope (16 of 80: smooth over the harmonics of any voice). vocoder: log-mel magnitude [1, bands, T']
    (FFT 1024, hop 256, centred) -> wave [1, T]; None = gains on the STFT (see the module's docstring).
    """

    filters: Tensor
    smoothing: Tensor
    window: Tensor

    def __init__(
        self,
        rate_hz: int = 16000,
        bands: int = 80,
        ratios: tuple[float, float] = (0.85, 1.15),
        order: int = 16,
        vocoder: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.n_fft, self.hop, self.bands, self.ratios, self.vocoder = 1024, 256, bands, ratios, vocoder
        index = torch.arange(bands, dtype=torch.float32)
        cosines = torch.cos(torch.pi * torch.arange(order)[:, None] * (index + 0.5) / bands) * (2.0 / bands) ** 0.5
        cosines[0] *= 0.5**0.5
        self.register_buffer("filters", slaney_filters(rate_hz, self.n_fft, bands), persistent=False)
        self.register_buffer("smoothing", cosines.T @ cosines, persistent=False)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    @torch.no_grad()
    def forward(self, wave: Tensor, heights: list[int] | None = None, generator: torch.Generator | None = None) -> Tensor:
        """wave [B, T], T > 512 samples. heights: bands after the stretch for each item; None = drawn uniformly from
        the whole numbers within `ratios` x bands. generator: of all draws (on the CPU)."""
        wave = wave.float()
        if heights is None:
            low, high = round(self.ratios[0] * self.bands), round(self.ratios[1] * self.bands)
            heights = torch.randint(low, high + 1, (wave.shape[0],), generator=generator).tolist()
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, return_complex=True)
        mel = (self.filters @ spectrum.abs()).clamp(min=1e-5).log()
        if self.vocoder is not None:
            voiced = [self.vocoder(resize_mel(item, height, generator)[None]) for item, height in zip(mel, heights, strict=True)]
            length = wave.shape[1]
            return torch.cat([F.pad(item, (0, max(0, length - item.shape[1])))[:, :length] for item in voiced])
        envelope = self.smoothing @ mel
        moved = torch.stack([resize_mel(item, height, generator) for item, height in zip(envelope, heights, strict=True)])
        # bands -> bins: each bin takes the bands it feeds, in proportion; bins outside every band take the nearest
        share = self.filters / self.filters.sum(0, keepdim=True).clamp(min=1e-12)
        covered = self.filters.sum(0) > 0
        gain = share.T @ (moved - envelope)
        first, last = int(covered.nonzero()[0]), int(covered.nonzero()[-1])
        gain[:, :first] = gain[:, first : first + 1]
        gain[:, last + 1 :] = gain[:, last : last + 1]
        # 3 nats = 26 dB: beyond that only noise would be raised
        shaped = spectrum * gain.clamp(-3.0, 3.0).exp()
        return torch.istft(shaped, self.n_fft, self.hop, window=self.window, length=wave.shape[1])
