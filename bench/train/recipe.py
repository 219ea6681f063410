"""What a recipe has to say: which network, which losses, what to export. The loop (bench.train.loop) does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import BadCard, UnknownName
from bench.models.blocks.discriminators import (
    Ensemble,
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    MultiScaleSTFTDiscriminator,
)
from bench.models.blocks.int8 import pack

if TYPE_CHECKING:
    from bench.train.data import Batch, Corpus
    from bench.train.settings import DiscriminatorSettings, RecipeCard


class Recipe(nn.Module, ABC):
    """The network with its training losses; `forward` is one pass over a batch.

    Attributes: rate_hz, the sampling rate; frame, samples: crops are made multiples of it (plus `margin`); hears_apart:
    whether `forward` takes extra["heard"] [B, T], what the encoder hears instead of the target.
    """

    rate_hz: int = 16000
    frame: int = 320
    margin: int = 0
    hears_apart: bool = False

    def __init__(self, card: RecipeCard) -> None:
        super().__init__()
        self.card = card

    @abstractmethod
    def forward(self, wave: Tensor, progress: float, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """wave [B, T], progress 0..1 -> the weighted losses, to be summed, under their names.

        Recipes that are judged by discriminators add "real" and "fake" [B, T'] (not losses), equally long, and may add
        "unpaired" [B' <= B, T']: decoded speech that has no original to match, e.g. converted; it is judged alone.
        Names starting with "_" are only logged.
        """

    def trainable(self) -> list[nn.Parameter]:
        """Parameters of the generator's optimiser."""
        return [p for p in self.parameters() if p.requires_grad]

    def groups(self) -> list[dict[str, Any]]:
        """The same in groups; "factor" multiplies a group's learning rate."""
        return [{"params": self.trainable()}]

    def prepare(self, corpus: Corpus) -> None:
        """Called once with the training speech: compute what depends on whole utterances, load teachers."""

    def extra(self, batch: Batch) -> dict[str, Tensor]:
        """More inputs of `forward` for this batch, e.g. the speaker vectors of its utterances."""
        return {}

    @abstractmethod
    def export(self) -> dict[str, Tensor]:
        """The tensors of the weights file."""

    def packed(self, tensors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """What `export` gives, or other `tensors` of these names, as written: matrices in 8 bits with a scale per row,
        codebooks and the rest in float16."""
        return pack({k: v.detach().cpu().contiguous() for k, v in (tensors or self.export()).items()})

    @abstractmethod
    def reconstruct(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode and decode one wave [T] -> [T], as in use: for validation."""

    def describe(self) -> dict[str, str]:
        """What the weights file says of itself (safetensors metadata)."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What else to record in logs at validation, e.g. codebook usage."""
        return {}


def slower(recipe: Recipe, *parts: tuple[Sequence[nn.Module], float]) -> list[dict[str, Any]]:
    """Groups of the optimiser: what of each part's modules is trained goes at its factor times the rate of the rest."""
    trained = recipe.trainable()
    groups: list[dict[str, Any]] = []
    for modules, factor in parts:
        within = {id(p) for module in modules for p in module.parameters()}
        groups.append({"params": [p for p in trained if id(p) in within], "factor": factor})
        trained = [p for p in trained if id(p) not in within]
    return [group for group in ({"params": trained}, *groups) if group["params"]]


def weights_of(table: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`defaults` overridden by `table`; a key without default is an error."""
    for key in table:
        if key not in defaults:
            raise BadCard(f"{where}: {UnknownName('key', key, defaults)}")
    return {**defaults, **table}


def build_discriminator(settings: DiscriminatorSettings | None) -> Ensemble | None:
    """The discriminators a card asks for, or None. Raises BadCard where those to begin with do not fit."""
    if settings is None:
        return None
    members: list[nn.Module] = []
    if settings.stft:
        members.append(
            MultiScaleSTFTDiscriminator(
                settings.stft, settings.filters, settings.frequency_stride, settings.first_stride, settings.power
            )
        )
    if settings.periods:
        members.append(MultiPeriodDiscriminator(settings.periods, settings.period_channels))
    if settings.scales:
        members.append(MultiScaleDiscriminator(settings.scale_width, settings.scales))
    if not members:
        return None
    judges = Ensemble(members)
    if settings.initial:
        from safetensors.torch import load_file

        if not Path(settings.initial).is_file():
            raise BadCard(f"discriminator.initial: {settings.initial}: no such file; '' starts discriminators anew")
        try:
            judges.load_state_dict(load_file(settings.initial))
        except RuntimeError as error:
            raise BadCard(f"discriminator.initial: {settings.initial} does not fit these discriminators: {error}") from error
    return judges


def judged_part(real: Tensor, fake: Tensor, samples: int, level: bool = False) -> tuple[Tensor, Tensor]:
    """The same random stretch of `samples` samples of both [B, T] -> [B, 1, samples]; all of it for 0.

    level: multiply both by what brings the whole original to an RMS of 1 (at most 60 dB of gain).
    """
    length = real.shape[-1]
    if level:
        gain = real.float().square().mean(-1, keepdim=True).sqrt().clamp_min(1e-3).reciprocal()
        real, fake = real * gain, fake * gain
    if samples and samples < length:
        start = int(torch.randint(length - samples + 1, ()))
        real, fake = real[:, start : start + samples], fake[:, start : start + samples]
    return real[:, None], fake[:, None]
