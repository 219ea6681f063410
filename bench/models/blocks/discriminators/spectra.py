"""Multi-scale STFT discriminator (EnCodec, arXiv 2210.13438, section 3.4): complex spectra at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from bench.models.blocks.discriminators.judgement import Judgement

FAINT = 1e-3
"""Power, at a level of RMS 1, below which `power` is linear: 30 dB down."""


class STFTDiscriminator(nn.Module):
    """One resolution: real and imaginary parts as two channels of a [time, frequency] picture.

    power: exponent of the magnitudes. At 1 (EnCodec) what lies 40 dB below the loudest is next to invisible to a freshly
    started network. Well below 0.5 the slope at faint bins is so steep that the generator chases them and nothing else.
    """

    window: Tensor

    def __init__(
        self, n_fft: int, filters: int = 32, frequency_stride: int = 2, first_stride: int = 1, power: float = 1.0
    ) -> None:
        super().__init__()
        self.n_fft, self.power = n_fft, power
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        stride = (1, frequency_stride)
        # The first convolution carries no weight norm in EnCodec's and FunCodec's code.
        self.first = nn.Conv2d(2, filters, (3, 9), (1, first_stride), padding=(1, 4))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(filters, filters, (3, 9), stride, padding=(d, 4), dilation=(d, 1))) for d in (1, 2, 4)
        )
        self.layers.append(weight_norm(nn.Conv2d(filters, filters, (3, 3), padding=(1, 1))))
        self.post = weight_norm(nn.Conv2d(filters, 1, (3, 3), padding=(1, 1)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """wave [B, 1, T], T >= n_fft -> logits [B, 1, frames, bins'], feature maps [B, C, frames, bins']."""
        spectrum = (
            torch.stft(
                wave.squeeze(1).float(),
                self.n_fft,
                self.n_fft // 4,
                window=self.window,
                center=False,
                return_complex=True,
            )
            / self.window.square().sum().sqrt()
        )
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # [B, 2, frames, bins]
        if self.power != 1.0:
            x = x * (x.square().sum(1, keepdim=True) + FAINT) ** ((self.power - 1.0) / 2.0)
        x = F.leaky_relu(self.first(x), 0.2)
        features = [x]
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.post(x), features


class MultiScaleSTFTDiscriminator(nn.Module):
    """One STFTDiscriminator for each FFT size (samples); hop is a quarter, the window a normalised Hann.

    `first_stride` above 1 thins out the frequency axis in the first layer already: several times cheaper on a CPU.
    """

    def __init__(
        self,
        n_ffts: Sequence[int] = (1024, 2048, 512),
        filters: int = 32,
        frequency_stride: int = 2,
        first_stride: int = 1,
        power: float = 1.0,
    ) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(STFTDiscriminator(n, filters, frequency_stride, first_stride, power) for n in n_ffts)

    def forward(self, wave: Tensor) -> Judgement:
        """wave [B, 1, T] -> Judgement."""
        parts = [d(wave) for d in self.discriminators]
        return Judgement([p[0] for p in parts], [p[1] for p in parts])
