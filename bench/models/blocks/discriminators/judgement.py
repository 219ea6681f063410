"""What a discriminator says of a wave, and the hinge and feature-matching losses made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Judgement:
    """Logits and feature maps of a set of sub-discriminators.

    logits: one tensor [B, ...] each; above 0 means "real".
    features: the feature maps of each, [B, C, ...], shallow to deep.
    """

    logits: list[Tensor]
    features: list[list[Tensor]]

    def detached(self) -> Judgement:
        """The same values, through which no gradient flows."""
        return Judgement([x.detach() for x in self.logits], [[f.detach() for f in maps] for maps in self.features])

    def split(self, batch: int) -> tuple[Judgement, Judgement]:
        """The judgements of items [0, batch) and [batch, ...)."""
        first = Judgement([x[:batch] for x in self.logits], [[f[:batch] for f in maps] for maps in self.features])
        rest = Judgement([x[batch:] for x in self.logits], [[f[batch:] for f in maps] for maps in self.features])
        return first, rest


class Ensemble(nn.Module):
    """Several discriminators as one: their sub-discriminators stand in one list."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, wave: Tensor) -> Judgement:
        """wave [B, 1, T] -> Judgement."""
        logits: list[Tensor] = []
        features: list[list[Tensor]] = []
        for member in self.members:
            part: Judgement = member(wave)
            logits += part.logits
            features += part.features
        return Judgement(logits, features)


def discriminator_loss(real: Judgement, fake: Judgement, reduce: str = "mean") -> Tensor:
    """Hinge loss of the discriminators: E[relu(1 - D(x))] + E[relu(1 + D(y))], over sub-discriminators by `reduce`."""
    terms = [
        torch.relu(1 - r.float()).mean() + torch.relu(1 + f.float()).mean() for r, f in zip(real.logits, fake.logits, strict=True)
    ]
    return _reduce(terms, reduce)


def adversarial_loss(fake: Judgement, reduce: str = "mean", clipped: bool = True) -> Tensor:
    """What the generator pays: E[relu(1 - D(y))] (FunCodec, SuperCodec), or -E[D(y)] when not `clipped`."""
    terms = [torch.relu(1 - f.float()).mean() if clipped else -f.float().mean() for f in fake.logits]
    return _reduce(terms, reduce)


def feature_matching_loss(real: Judgement, fake: Judgement, relative: bool = False) -> Tensor:
    """Mean over all feature maps of L1(real, fake); the real side carries no gradient.

    `relative` divides each map's distance by the mean magnitude of the real map (EnCodec, section 3.4).
    """
    terms = []
    for real_maps, fake_maps in zip(real.features, fake.features, strict=True):
        for r, f in zip(real_maps, fake_maps, strict=True):
            r = r.detach().float()
            distance = (r - f.float()).abs().mean()
            terms.append(distance / r.abs().mean().clamp_min(1e-5) if relative else distance)
    return torch.stack(terms).mean()


def _reduce(terms: list[Tensor], reduce: str) -> Tensor:
    stacked = torch.stack(terms)
    return stacked.sum() if reduce == "sum" else stacked.mean()
