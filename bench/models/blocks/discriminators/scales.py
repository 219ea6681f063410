"""Multi-scale discriminator (HiFi-GAN, arXiv 2010.05646, section 2.3): the wave at full, half and quarter rate."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from bench.models.blocks.discriminators.judgement import Judgement


class ScaleDiscriminator(nn.Module):
    """One scale: grouped strided convolutions; `width` 128 gives HiFi-GAN's channels."""

    def __init__(self, width: int = 128, norm: Callable[[nn.Module], nn.Module] = weight_norm) -> None:
        super().__init__()
        w = width
        # (in, out, kernel, stride, groups)
        shapes = [
            (1, w, 15, 1, 1),
            (w, w, 41, 2, 4),
            (w, 2 * w, 41, 2, 16),
            (2 * w, 4 * w, 41, 4, 16),
            (4 * w, 8 * w, 41, 4, 16),
            (8 * w, 8 * w, 41, 1, 16),
            (8 * w, 8 * w, 5, 1, 1),
        ]
        self.layers = nn.ModuleList(norm(nn.Conv1d(a, b, k, s, (k - 1) // 2, groups=g)) for a, b, k, s, g in shapes)
        self.post = norm(nn.Conv1d(8 * w, 1, 3, padding=1))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """wave [B, 1, T] -> logits [B, 1, T'], feature maps [B, C, T']."""
        x, features = wave, []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.post(x), features


class MultiScaleDiscriminator(nn.Module):
    """`scales` discriminators, each on the wave averaged down by two once more; the first is spectrally normalised."""

    def __init__(self, width: int = 128, scales: int = 3) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(width, spectral_norm if i == 0 else weight_norm) for i in range(scales)
        )

    def forward(self, wave: Tensor) -> Judgement:
        """wave [B, 1, T] -> Judgement."""
        logits, features = [], []
        for i, discriminator in enumerate(self.discriminators):
            if i:
                wave = F.avg_pool1d(wave, 4, 2, 2)
            out, maps = discriminator(wave)
            logits.append(out)
            features.append(maps)
        return Judgement(logits, features)
