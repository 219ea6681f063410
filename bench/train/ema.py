"""The moving average of a network's weights, and the weights file made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.train.checkpoint import whole

if TYPE_CHECKING:
    from bench.train.recipe import Recipe
    from bench.train.schedule import Clock
    from bench.train.settings import RecipeCard


class MovingAverage:
    """Exponential moving average of the trained weights; buffers (codebooks, counters) are taken as they are."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone().float() for k, v in module.named_parameters() if v.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the averages towards the weights of `module`; early steps count for more, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        named = dict(module.named_parameters())
        keys = list(self.values)
        torch._foreach_lerp_([self.values[k] for k in keys], [named[k].detach().float() for k in keys], 1 - decay)

    @torch.no_grad()
    def swap_in(self, module: nn.Module) -> dict[str, Tensor]:
        """Put the averages into the module; returns what was there."""
        named = dict(module.named_parameters())
        own = {k: named[k].detach().clone() for k in self.values}
        for key, value in self.values.items():
            named[key].copy_(value)
        return own

    @torch.no_grad()
    def swap_out(self, module: nn.Module, own: dict[str, Tensor]) -> None:
        """Put back what `swap_in` gave."""
        named = dict(module.named_parameters())
        for key, value in own.items():
            named[key].copy_(value)

    def state(self) -> dict[str, Tensor]:
        """Name -> average, for a checkpoint."""
        return self.values

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        for key, value in self.values.items():
            value.copy_(state[key])


def export(path: Path, recipe: Recipe, card: RecipeCard, clock: Clock) -> None:
    """Write `recipe.packed()` as safetensors, with notes of where it comes from."""
    write(path, recipe, card, clock.step, recipe.packed())


def write(
    path: Path, recipe: Recipe, card: RecipeCard, step: int, tensors: dict[str, Tensor], more: Mapping[str, str] | None = None
) -> None:
    """Write packed `tensors` of `recipe` as safetensors, with notes of where they come from, and `more` notes."""
    from safetensors.torch import save_file

    note = {
        "recipe": card.recipe,
        "title": card.title,
        "steps": str(step),
        "seed": str(card.run.seed),
        "fingerprint": card.fingerprint,
        **recipe.describe(),
        **(more or {}),
    }
    with whole(path) as beside:
        save_file(tensors, beside, metadata=note)
