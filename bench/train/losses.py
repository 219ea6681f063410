"""Distances between waves, as the papers' recipes define them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import BenchError
from bench.metrics._spectra import third_octaves
from bench.models.blocks.mel import slaney_filters
from bench.train.whisper import WhisperEncoder, feature_distance

WAVE_LOSSES: Mapping[str, float] = {
    "multimel": 0.0,  # L1 of log-mels at several resolutions
    "envelope": 0.0,  # 1 - correlation of third-octave envelopes, see EnvelopeCorrelation
    "perceptual": 0.0,  # distance of Whisper features, decoded against original; needs loss.whisper
}
"""Weights of `WaveLosses` in a card's [loss], all off."""


class MelL1(nn.Module):
    """L1 between natural-log magnitude mel spectrograms (HiFi-GAN, arXiv 2010.05646, equation 3).

    n_fft, hop: samples. bands: Slaney mel bands, 0 Hz to half the rate. Reflection padding of (n_fft - hop) / 2 at both
    ends, magnitudes clamped at 1e-5.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, rate_hz: int = 16000, n_fft: int = 1024, hop: int = 320, bands: int = 80) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("filters", slaney_filters(rate_hz, n_fft, bands), persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def log_mel(self, wave: Tensor) -> Tensor:
        """wave [B, T] -> [B, bands, T // hop]."""
        side = (self.n_fft - self.hop) // 2
        padded = F.pad(wave.float(), (side, side), mode="reflect")
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
        return (self.filters @ magnitude).clamp_min(1e-5).log()

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """real, fake [B, T] -> scalar."""
        with torch.autocast(real.device.type, enabled=False):
            with torch.no_grad():
                target = self.log_mel(real)
            return F.l1_loss(self.log_mel(fake), target)


class MultiMelL1(nn.Module):
    """Mean of `MelL1` over several resolutions (DAC, arXiv 2306.06546, section 3.3, with hop = n_fft / 4)."""

    def __init__(self, rate_hz: int, n_ffts: Sequence[int], bands: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(MelL1(rate_hz, n_fft, n_fft // 4, count) for n_fft, count in zip(n_ffts, bands, strict=True))

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """real, fake [B, T] -> scalar."""
        return torch.stack([scale(real, fake) for scale in self.scales]).mean()


class EnvelopeCorrelation(nn.Module):
    """1 minus the mean correlation between envelopes of real and decoded speech: what STOI measures, as a loss.

    As STOI (Taal et al., IEEE TASLP 2011, section II): 15 third-octave bands from 150 Hz, windows of 25.6 ms, stretches of
    384 ms, each band's envelope compared over time. Unlike it: at 16 kHz, a band holds the bins inside its edges, without
    clipping, and instead of leaving out frames that are 40 dB below the loudest, a stretch counts by its share of others.
    """

    bands: Tensor
    window: Tensor

    def __init__(self, rate_hz: int = 16000) -> None:
        super().__init__()
        self.size = round(0.0256 * rate_hz)
        self.hop = self.size // 2
        bands = torch.from_numpy(third_octaves(rate_hz, 512, edges="inside")).float()
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)

    def _power(self, wave: Tensor) -> Tensor:
        spectrum = torch.stft(wave.float(), 512, self.hop, self.size, self.window, center=False, return_complex=True)
        return spectrum.real.square() + spectrum.imag.square()

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """real, fake [B, T], at least 0.42 s -> scalar in 0..2. Raises BenchError for shorter ones."""
        with torch.autocast(real.device.type, enabled=False):
            with torch.no_grad():
                power = self._power(real)
                if power.shape[2] < 30:
                    raise BenchError("loss.envelope compares stretches of 0.42 s: set data.crop_s to more, or the weight to 0")
                loudness = power.sum(1)
                active = (loudness > 1e-4 * loudness.amax(1, keepdim=True)).float()
                share = active.unfold(1, 30, 1).mean(2)[:, None]  # [B, 1, stretches]
                target = self._stretches(power)
            guess = self._stretches(self._power(fake))
            correlation = (guess * target).sum(3) / (
                guess.square().sum(3).clamp_min(1e-12) * target.square().sum(3).clamp_min(1e-12)
            ).sqrt()
            return 1.0 - (correlation * share).sum() / (share.sum() * correlation.shape[1]).clamp_min(1e-6)

    def _stretches(self, power: Tensor) -> Tensor:
        """Envelopes of 30 frames, less their mean: power [B, bins, T] -> [B, bands, T - 29, 30]."""
        cut = ((self.bands @ power) + 1e-9).sqrt().unfold(2, 30, 1)
        return cut - cut.mean(3, keepdim=True)


class WaveLosses(nn.Module):
    """The distances between real and decoded speech that the small recipes share, by the names in `WAVE_LOSSES`."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = {name: float(weights[name]) for name in WAVE_LOSSES}
        self.multimel = MultiMelL1(16000, (128, 256, 512, 1024, 2048), (20, 40, 64, 80, 80))
        self.envelope = EnvelopeCorrelation()

    def forward(self, real: Tensor, fake: Tensor, whisper: WhisperEncoder | None) -> dict[str, Tensor]:
        """real, fake [B, T] -> the losses whose weight is not 0; without Whisper, none of its features."""
        weights, out = self.weights, dict[str, Tensor]()
        if weights["multimel"]:
            out["multimel"] = weights["multimel"] * self.multimel(real, fake)
        if weights["envelope"]:
            out["envelope"] = weights["envelope"] * self.envelope(real, fake)
        if whisper is not None and weights["perceptual"]:
            with torch.no_grad():
                heard = whisper(real)
            out["perceptual"] = weights["perceptual"] * feature_distance(heard, whisper(fake))
        return out


def pair_distance(mel: MelL1, guess: Tensor, wave: Tensor, first: int = 0) -> Tensor:
    """L1 between guess [B, N, 2 x bands] and the two frames of `mel` under each of N frames of twice its hop, as
    (log mel + 6) / 2: wave [B, T], mel frame `first` begins the first pair. Frames without a partner are left out."""
    heard = mel.log_mel(wave)[..., first:].transpose(1, 2)
    frames = min(guess.shape[1], heard.shape[1] // 2)
    target = (heard[:, : 2 * frames].reshape(len(wave), frames, -1) + 6.0) / 2.0
    return F.l1_loss(guess[:, :frames].float(), target)


def bit_spread(latents: Tensor) -> Tensor:
    """How far the bits of binary spherical codes are from balanced and independent: 0 at best.

    latents [..., D] of unit length. Mean over pairs of dimensions of the squared correlation, plus D times the mean
    square of the means. The entropy loss with one table row per codeword says the same of hard assignments, but
    gives next to no gradient once they are hard, and correlated bits (two antipodal codewords) satisfy every marginal.
    """
    flat = latents.float().flatten(0, -2)
    return _correlation(flat) + flat.shape[-1] * flat.mean(0).square().mean()


def _correlation(flat: Tensor) -> Tensor:
    """Mean over pairs of dimensions of their squared correlation, 0..1: flat [N, D]."""
    dims = flat.shape[-1]
    centred = flat - flat.mean(0)
    covariance = centred.T @ centred / len(flat)
    scale = covariance.diagonal().clamp_min(1e-4).sqrt()
    square = (covariance / (scale[:, None] * scale)).square()
    return (square.sum() - square.diagonal().sum()) / (dims * (dims - 1))
