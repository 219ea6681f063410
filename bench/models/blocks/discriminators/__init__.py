"""Discriminators of waveforms, and the losses that pair them with a generator.

Each one maps a wave [B, 1, T] to a `Judgement`: for every sub-discriminator, logits and the feature maps below them.
Training only: no codec needs them to encode or decode.
"""

from __future__ import annotations

from bench.models.blocks.discriminators.judgement import (
    Ensemble,
    Judgement,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)
from bench.models.blocks.discriminators.periods import MultiPeriodDiscriminator
from bench.models.blocks.discriminators.scales import MultiScaleDiscriminator
from bench.models.blocks.discriminators.spectra import MultiScaleSTFTDiscriminator

__all__ = [
    "Ensemble",
    "Judgement",
    "MultiPeriodDiscriminator",
    "MultiScaleDiscriminator",
    "MultiScaleSTFTDiscriminator",
    "adversarial_loss",
    "discriminator_loss",
    "feature_matching_loss",
]
