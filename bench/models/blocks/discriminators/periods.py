"""Multi-period discriminator (HiFi-GAN, arXiv 2010.05646, section 2.3): looks at every p-th sample."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from bench.models.blocks.discriminators.judgement import Judgement


class PeriodDiscriminator(nn.Module):
    """One period: the wave folded to [T / p, p], then convolutions along time only."""

    def __init__(self, period: int, channels: Sequence[int], kernel: int = 5, stride: int = 3) -> None:
        super().__init__()
        self.period = period
        widths = [1, *channels]
        last = len(channels) - 1
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (kernel, 1), (1 if i == last else stride, 1), padding=((kernel - 1) // 2, 0)))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.post = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """wave [B, 1, T] -> logits [B, 1, T', p], feature maps [B, C, T', p]."""
        batch, _, length = wave.shape
        if length % self.period:
            extra = self.period - length % self.period
            wave = F.pad(wave, (0, extra), mode="reflect")
            length += extra
        x = wave.view(batch, 1, length // self.period, self.period)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.post(x), features


class MultiPeriodDiscriminator(nn.Module):
    """Sub-discriminators at several periods (samples). The defaults are HiFi-GAN's."""

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), channels: Sequence[int] = (32, 128, 512, 1024, 1024)) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(PeriodDiscriminator(p, channels) for p in periods)

    def forward(self, wave: Tensor) -> Judgement:
        """wave [B, 1, T] -> Judgement."""
        parts = [d(wave) for d in self.discriminators]
        return Judgement([p[0] for p in parts], [p[1] for p in parts])
