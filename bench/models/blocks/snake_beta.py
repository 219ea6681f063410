"""SnakeBeta between two resamplers: the activation of BigVGAN and of the codecs that follow it.

x + sin(exp(a) x)^2 / exp(b) makes harmonics above the band, which fold back. So the signal goes to twice the rate before
and back after, through a windowed sinc of 12 taps.

References: BigVGAN (Lee et al. 2023, arXiv 2206.04658, section 3.3); Alias-Free GAN (Karras et al. 2021).
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fast_linear import plain_inference

TAPS = 12
CUTOFF, HALF_WIDTH = 0.25, 0.3
EPSILON = 1e-9
# Values that are worked on at a time on a CPU: what fits near the processor.
BLOCK_VALUES = 2**17


def half_band(taps: int = TAPS, cutoff: float = CUTOFF, half_width: float = HALF_WIDTH) -> Tensor:
    """The low pass [taps], a Kaiser-windowed sinc that sums to one; `cutoff` and `half_width` in cycles a sample."""
    attenuation = 2.285 * (taps // 2 - 1) * math.pi * 4 * half_width + 7.95
    beta = 0.1102 * (attenuation - 8.7)  # Kaiser's rule above 50 dB
    window = torch.kaiser_window(taps, periodic=False, beta=beta)
    kernel = 2 * cutoff * window * torch.sinc(2 * cutoff * (torch.arange(taps) + 0.5 - taps / 2))
    return kernel / kernel.sum()


class SnakeBeta(nn.Module):
    """[B, C, T] -> [B, C, T]. `act.alpha` and `act.beta` [C] are logarithms."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = _LogParameters(channels)
        self.register_buffer("kernel", half_band(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        alpha, inverse = self.act.alpha.exp()[:, None], 1 / (self.act.beta.exp()[:, None] + EPSILON)
        if not plain_inference(x):
            return _whole(x, alpha, inverse, self.kernel)
        out = torch.empty_like(x)
        rows = max(1, BLOCK_VALUES // x.shape[-1])
        for item, result in zip(x, out, strict=True):
            for first in range(0, x.shape[1], rows):
                part = slice(first, first + rows)
                _by_phases(item[part], alpha[part], inverse[part], result[part])
        return out


class _LogParameters(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))


def _whole(x: Tensor, alpha: Tensor, inverse: Tensor, kernel: Tensor) -> Tensor:
    """x [B, C, T], by depthwise convolutions: what is differentiated, and what runs on a GPU."""
    channels, edge = x.shape[1], TAPS // 2 - 1
    weight = kernel.to(x.dtype).expand(channels, 1, TAPS)
    cut = edge * 2 + (TAPS - 1) // 2
    up = F.conv_transpose1d(F.pad(x, (edge, edge), mode="replicate"), weight, stride=2, groups=channels)
    up = 2 * up[..., cut:-cut]
    up = up + inverse * torch.sin(alpha * up).square()
    return F.conv1d(F.pad(up, (edge, edge + 1), mode="replicate"), weight, stride=2, groups=channels)


@cache
def _taps() -> tuple[list[float], list[float]]:
    """The filter's even and odd taps."""
    kernel = half_band().tolist()
    return kernel[::2], kernel[1::2]


def _by_phases(x: Tensor, alpha: Tensor, inverse: Tensor, out: Tensor) -> None:
    """x [C, T] -> out [C, T], the same as sums of shifted signals: even and odd samples of the doubled rate lie apart, so
    nothing is computed that is thrown away. Five times as fast as depthwise convolutions."""
    frames, half = x.shape[-1], TAPS // 2
    even, odd = _taps()
    padded = F.pad(x.unsqueeze(0), (3, 3), mode="replicate").squeeze(0)
    phases = x.new_empty(2, x.shape[0], frames + 6)  # with the three samples on each side that the way back looks at
    inner = phases[..., 3 : 3 + frames]
    for phase, taps in enumerate((odd, even)):
        torch.mul(padded[:, phase : phase + frames], 2 * taps[-1], out=inner[phase])
        for tap in range(1, half):
            inner[phase].add_(padded[:, phase + tap : phase + tap + frames], alpha=2 * taps[-1 - tap])
    inner.addcmul_(torch.sin(inner * alpha).square_(), inverse)
    phases[..., :3] = inner[0, :, :1].clone()
    phases[..., 3 + frames :] = inner[1, :, -1:].clone()
    torch.mul(phases[0, :, 1 : 1 + frames], odd[0], out=out)
    for tap in range(1, half):
        out.add_(phases[0, :, 1 + tap : 1 + tap + frames], alpha=odd[tap])
    for tap in range(half):
        out.add_(phases[1, :, tap : tap + frames], alpha=even[tap])
