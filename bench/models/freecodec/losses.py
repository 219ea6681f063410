"""What FreeCodec's generator is trained on.

total = reconstruction + 3 adversarial + 3 feature matching + commitment + 10 content.
Stated by the paper: these five kinds of terms, the first, third and fourth as in EnCodec. Inferred: their weights and
spectrograms, which are those of SuperCodec's training (0.1 L1 of the wave, multi-scale mel, 15 L1 of one finer
log-mel). The weight 10 of the content loss is that of the Interspeech version. The discriminator and its losses are
`bench.models.blocks.discriminators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.discriminators import Judgement, adversarial_loss, feature_matching_loss
from bench.models.blocks.mel import slaney_filters

from .model import Output

ContentForm = Literal["cosine", "log-sigmoid"]


def content_loss(guess: Tensor, teacher: Tensor, form: ContentForm = "cosine") -> Tensor:
    """Distance to a teacher's features, by cosine over *time* in each feature dimension.

    guess [B, N, H], teacher [B, M, H] at the same frame rate; the longer is cut (WavLM gives a frame less). Form
    "cosine": mean of 1 - cos (the paper: "maximise cosine similarity"); "log-sigmoid": mean of -log sigmoid(cos), as in
    SpeechTokenizer (arXiv 2308.16692, equation 4). Raises ValueError for differing H or an unknown form.
    """
    if guess.shape[-1] != teacher.shape[-1]:
        raise ValueError(f"the head predicts {guess.shape[-1]} features, the teacher has {teacher.shape[-1]}")
    frames = min(guess.shape[1], teacher.shape[1])
    cosine = F.cosine_similarity(guess[:, :frames].float(), teacher[:, :frames].float(), dim=1)
    if form == "cosine":
        return (1.0 - cosine).mean()
    if form == "log-sigmoid":
        return -F.logsigmoid(cosine).mean()
    raise ValueError(f"the content loss has the forms cosine and log-sigmoid, not {form!r}")


class _Mel(nn.Module):
    """Log-mel of [B, T] -> [B, bands, frames]; power in log10, or magnitude in natural log."""

    filters: Tensor
    window: Tensor

    def __init__(self, rate_hz: int, n_fft: int, win: int, hop: int, bands: int, power: bool) -> None:
        super().__init__()
        self.n_fft, self.win, self.hop, self.power = n_fft, win, hop, power
        self.register_buffer("filters", slaney_filters(rate_hz, n_fft, bands), persistent=False)
        self.register_buffer("window", torch.hann_window(win), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        side = (self.n_fft - self.hop) // 2
        padded = F.pad(wave[:, None], (side, side), mode="reflect")[:, 0]
        spectrum = torch.stft(padded, self.n_fft, self.hop, self.win, self.window, center=False, return_complex=True)
        energy = spectrum.real.square() + spectrum.imag.square()
        if self.power:
            return (self.filters @ energy).clamp(min=1e-5).log10()
        return (self.filters @ (energy + 1e-9).sqrt()).clamp(min=1e-5).log()


class ReconstructionLoss(nn.Module):
    """0.1 L1(wave) + sum over windows of 2^5..2^10 samples of (L1 + MSE)(log10 mel power) + 15 L1(log mel).

    rate_hz: sampling rate. windows: samples, hop a quarter of each, FFT 1024, 64 bands. The last term: 80 bands,
    window 640, hop 160. Waves [B, T], T > 508.
    """

    def __init__(self, rate_hz: int = 16000, windows: Sequence[int] = (32, 64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_Mel(rate_hz, 1024, window, window // 4, 64, power=True) for window in windows)
        self.fine = _Mel(rate_hz, 1024, 640, 160, 80, power=False)

    def forward(self, wave: Tensor, target: Tensor) -> dict[str, Tensor]:
        """wave, target [B, T] -> the weighted terms: wave, mel_scales, mel."""
        with torch.autocast(wave.device.type, enabled=False):
            wave, target = wave.float(), target.float()
            scales = wave.new_zeros(())
            for mel in self.scales:
                ours, theirs = mel(wave), mel(target)
                scales = scales + F.l1_loss(ours, theirs) + F.mse_loss(ours, theirs)
            return {
                "wave": 0.1 * F.l1_loss(wave, target),
                "mel_scales": scales,
                "mel": 15.0 * F.l1_loss(self.fine(wave), self.fine(target)),
            }


@dataclass(frozen=True)
class LossWeights:
    """Factors on top of the reconstruction terms; 0 leaves a term out."""

    commitment: float = 1.0
    content: float = 10.0
    adversarial: float = 3.0
    features: float = 3.0


def generator_losses(
    output: Output,
    target: Tensor,
    reconstruction: ReconstructionLoss,
    teacher: Tensor | None = None,
    judgements: tuple[Judgement, Judgement] | None = None,
    weights: LossWeights | None = None,
    form: ContentForm = "cosine",
) -> dict[str, Tensor]:
    """All weighted terms of one pass; their sum is what the generator minimises.

    output: of `FreeCodec.forward`. target [B, T]: the clean wave, also for augmented inputs. teacher [B, M, H]:
    features of the clean wave, or None. judgements: the discriminator's (real, fake), or None before it starts.
    form: see `content_loss`. The speaker's commitment stays out: its vectors come from a frozen encoder.
    """
    weights = weights or LossWeights()
    losses = reconstruction(output.wave, target[:, : output.wave.shape[1]])
    losses["commitment"] = weights.commitment * (output.commitment["content"] + output.commitment["prosody"])
    if teacher is not None and weights.content:
        losses["content"] = weights.content * content_loss(output.teacher_guess, teacher, form)
    if judgements is not None:
        real, fake = judgements
        losses["adversarial"] = weights.adversarial * adversarial_loss(fake)
        losses["features"] = weights.features * feature_matching_loss(real, fake, relative=True)
    return losses
