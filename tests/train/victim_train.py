"""A small training run in a process of its own, for tests that kill it or that need several of it.

python victim_train.py FOLDER                             resumable, slowly, a checkpoint after every step
torchrun --nproc-per-node 2 victim_train.py FOLDER STEPS  each process leaves rank0.pt, rank1.pt: what it drew and has
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.train.data import Batch
from bench.train.loop import Loop
from bench.train.recipe import Recipe
from bench.train.settings import RecipeCard, parse

CARD = {
    "recipe": "toy",
    "title": "toy",
    "model": {"width": 8},
    "data": {"sources": ["embedded"], "crop_s": 0.1, "batch": 2},
    "run": {"steps": 12, "seed": 3, "log_every": 1, "average": 0.9, "checkpoint_every_s": 100.0},
    "optimiser": {"lr": 1e-2, "betas": [0.8, 0.99], "schedule": "cosine"},
    "discriminator": {"periods": [2, 3], "period_channels": [4, 4], "crop": 400},
}


class Toy(Recipe):
    """Two linear layers with dropout (which needs the random state) over frames of 20 samples."""

    frame = 20

    def __init__(self, card: RecipeCard) -> None:
        super().__init__(card)
        torch.manual_seed(card.run.seed)
        width = card.model["width"]
        self.layers = nn.Sequential(nn.Linear(20, width), nn.Tanh(), nn.Dropout(0.2), nn.Linear(width, 20))
        self.poison = card.model.get("poison", 10**9)
        self.calls = 0

    def forward(self, wave: Tensor, progress: float, extra: dict[str, Tensor]) -> dict[str, Tensor]:
        self.calls += 1
        fake = self.layers(wave.unflatten(1, (-1, 20))).flatten(1)
        loss = (fake - wave).square().mean()
        if self.calls >= self.poison:
            loss = loss * float("nan")
        return {"error": loss, "real": wave, "fake": fake}

    def export(self) -> dict[str, Tensor]:
        return self.layers.state_dict()

    def reconstruct(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        return wave


def draw(number: int) -> Batch:
    rng = np.random.default_rng([1, number])
    return Batch(rng.standard_normal((2, 800)).astype(np.float32) * 0.1, (0, 1), number)


def slow(number: int) -> Batch:
    time.sleep(0.05)
    return draw(number)


def card(**tables: dict[str, object]) -> RecipeCard:
    return parse({**CARD, **{name: {**CARD[name], **table} for name, table in tables.items()}}, Path("toy.toml"))


def beside_others(folder: Path, steps: int) -> None:
    """Train as one of several processes and write what was drawn and what came out."""
    drawn: list[int] = []
    toy = card(run={"steps": steps})
    loop = Loop(toy, Toy(toy), lambda number: drawn.append(number) or draw(number), folder)
    trained = loop.run()
    assert loop.judges is not None
    result = {
        "drawn": drawn,
        "steps": trained.steps,
        "recipe": loop.recipe.state_dict(),
        "judges": loop.judges.state_dict(),
        "average": loop.average.state() if loop.average else {},
    }
    torch.save(result, folder / f"rank{loop.accelerator.process_index}.pt")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        beside_others(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        toy = card(run={"checkpoint_every_s": 0.0})
        Loop(toy, Toy(toy), slow, Path(sys.argv[1])).run(resume=True)
