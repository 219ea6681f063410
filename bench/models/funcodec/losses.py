"""The losses of FunCodec's training, on waves [B, T] and on what discriminators say of them. The discriminators' own
hinge loss is `blocks.discriminators.discriminator_loss`.

Reference: FunCodec (arXiv 2309.07405, section 2.5) with the weights its toolkit uses: 1 waveform, 1 spectra, 1/9
adversarial, 100/9 feature matching, 1 commitment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.discriminators import Judgement, adversarial_loss, feature_matching_loss

FFT = 1024
MEL_BANDS = 64
FLOOR = 1e-5


def slaney_mel(rate_hz: int, fft: int, bands: int, low_hz: float = 0.0, high_hz: float | None = None) -> Tensor:
    """Triangular mel filters of equal area, linear to 1 kHz, then logarithmic (Slaney), [bands, 1 + fft / 2]."""
    high_hz = rate_hz / 2 if high_hz is None else high_hz
    hz_per_mel, knee_hz, log_step = 200.0 / 3.0, 1000.0, math.log(6.4) / 27.0
    knee = knee_hz / hz_per_mel

    def to_mel(hz: float) -> float:
        return hz / hz_per_mel if hz < knee_hz else knee + math.log(hz / knee_hz) / log_step

    mels = torch.linspace(to_mel(low_hz), to_mel(high_hz), bands + 2, dtype=torch.float64)
    edges = torch.where(mels < knee, mels * hz_per_mel, knee_hz * ((mels - knee) * log_step).exp())
    bins = torch.linspace(0, rate_hz / 2, 1 + fft // 2, dtype=torch.float64)
    widths = edges.diff()
    slopes = edges[:, None] - bins[None]
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp_min(0) * area[:, None]).float()


class LogSpectra(nn.Module):
    """log10 mel and log10 power spectrum of waves [B, T] with a Hann window of `window` samples, hop window / 4; both
    with 1024 points whatever the window. Returns ([B, 64, frames], [B, 513, frames])."""

    taper: Tensor
    filters: Tensor

    def __init__(self, window: int, rate_hz: int = 16000) -> None:
        super().__init__()
        if window > FFT:
            raise ValueError(f"a window of {window} samples does not fit into {FFT} points")
        self.window, self.hop = window, window // 4
        self.register_buffer("taper", torch.hann_window(window), persistent=False)
        self.register_buffer("filters", slaney_mel(rate_hz, FFT, MEL_BANDS), persistent=False)

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        edge = (FFT - self.hop) // 2
        padded = F.pad(wave.unsqueeze(1), (edge, edge), mode="reflect").squeeze(1)
        grid = torch.stft(padded, FFT, self.hop, self.window, self.taper, center=False, return_complex=True)
        power = grid.real.square() + grid.imag.square()
        mel = self.filters @ power
        return mel.clamp_min(FLOOR).log10(), power.clamp_min(FLOOR).log10()


class MultiSpectralLoss(nn.Module):
    """Mean over windows of 2^5 .. 2^10 samples of L1 plus MSE between log spectra: of mel alone, or (`power`,
    FunCodec's addition) half of mel and half of power. The paper's 2^11 does not fit into its toolkit's 1024 points."""

    def __init__(self, rate_hz: int = 16000, exponents: Sequence[int] = (5, 6, 7, 8, 9, 10), power: bool = True) -> None:
        super().__init__()
        self.power = power
        self.scales = nn.ModuleList(LogSpectra(2**i, rate_hz) for i in exponents)

    def forward(self, decoded: Tensor, target: Tensor) -> Tensor:
        """decoded, target [B, T] -> scalar."""
        total = decoded.new_zeros(())
        for scale in self.scales:
            mel, power = scale(decoded)
            with torch.no_grad():
                mel_target, power_target = scale(target)
            loss = F.l1_loss(mel, mel_target) + F.mse_loss(mel, mel_target)
            if self.power:
                loss = 0.5 * (loss + F.l1_loss(power, power_target) + F.mse_loss(power, power_target))
            total = total + loss
        return total / len(self.scales)


def pooled(judgement: Judgement) -> Judgement:
    """The same judgement with its logits [B, 1, T, F] averaged over 4 x 4 cells, stride 2: FunCodec's discriminators
    end in this pooling (cells over the border count only what is inside)."""
    logits = [F.avg_pool2d(x, 4, 2, 1, count_include_pad=False) for x in judgement.logits]
    return Judgement(logits, judgement.features)


class GeneratorLoss(NamedTuple):
    """The weighted sum, and its unweighted parts."""

    total: Tensor
    waveform: Tensor
    spectra: Tensor
    adversarial: Tensor
    features: Tensor
    commitment: Tensor


def generator_loss(
    spectral: MultiSpectralLoss,
    decoded: Tensor,
    target: Tensor,
    commitment: Tensor,
    *,
    real: Judgement | None = None,
    fake: Judgement | None = None,
    adversarial_weight: float = 1 / 9,
    feature_weight: float = 100 / 9,
) -> GeneratorLoss:
    """All terms of one generator step: decoded, target [B, T]; commitment [K] of the quantizer (0 for dropped levels,
    and averaged over all K); what the discriminators say of target and decoded (None: those terms are zero).

    The toolkit adds a term of zero gradient (the square of the quantization error), left out here.
    """
    waveform, spectra, commit = F.l1_loss(decoded, target), spectral(decoded, target), commitment.mean()
    adversarial = features = decoded.new_zeros(())
    if real is not None and fake is not None:
        adversarial, features = adversarial_loss(fake), feature_matching_loss(real, fake)
    total = waveform + spectra + adversarial_weight * adversarial + feature_weight * features + commit
    return GeneratorLoss(total, waveform, spectra, adversarial, features, commit)
