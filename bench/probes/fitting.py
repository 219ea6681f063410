"""The training loop of every network on codec tokens: NewBob on the validation loss, the best epoch kept.

A killed training goes on after the last epoch that was saved and ends with the same weights; one seed gives one result
on a CPU.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn


class Schedule(Protocol):
    """The settings that the loop reads: epochs, and NewBob's."""

    @property
    def epochs(self) -> int:
        """Passes over the training data, at most."""

    @property
    def learning_rate(self) -> float:
        """Rate at the start."""

    @property
    def improvement(self) -> float:
        """Relative gain in validation below which the rate is lowered."""

    @property
    def anneal(self) -> float:
        """What the rate is multiplied by then."""

    @property
    def patience(self) -> int:
        """Epochs without such a gain that are waited for first."""


@dataclass(frozen=True)
class Trained:
    """A finished training: validation errors, its best epoch (from 1), cost; frames_per_s counts training frames."""

    curve: list[float]
    best_epoch: int
    parameters: int
    seconds: float
    frames_per_s: float


def fit(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    order: np.random.Generator,
    schedule: Schedule,
    epoch: Callable[[], int],
    validate: Callable[[], tuple[float, float]],
    checkpoint: Path,
    told: Callable[[int, float], None] = lambda number, error: None,
    save_every_s: float = 0.0,
) -> Trained:
    """Train to the end of the schedule (or go on where a killed run was) and take the best epoch's weights.

    order: the generator that shuffles, whose state is kept. epoch: one pass of training; returns how many frames it had.
    validate: (error, loss). checkpoint: file renewed after an epoch, where `save_every_s` passed since the last time; the
    caller removes it. told(epoch, validation error) after each.
    """
    from speechbrain.nnet.schedulers import NewBobScheduler

    newbob = NewBobScheduler(
        schedule.learning_rate,
        annealing_factor=schedule.anneal,
        improvement_threshold=schedule.improvement,
        patient=schedule.patience,
    )
    curve: list[float] = []
    best: tuple[float, float] = (math.inf, math.inf)
    best_epoch, kept = 0, {}
    spent, frames = 0.0, 0
    if checkpoint.is_file():
        device = next(network.parameters()).device
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        newbob.hyperparam_value, newbob.metric_values, newbob.current_patient = state["newbob"]
        curve, spent, frames = state["curve"], state["spent"], state["frames"]
        best, best_epoch, kept = tuple(state["best"]), state["best_epoch"], state["kept"]
        order.bit_generator.state = _plain(state["order"])
        _set_random(state["random"])
    saved = time.perf_counter()
    for number in range(len(curve) + 1, schedule.epochs + 1):
        start = time.perf_counter()
        network.train()
        frames += epoch()
        error, loss = validate()
        curve.append(error)
        _, rate = newbob(loss)
        for group in optimiser.param_groups:
            group["lr"] = rate
        if (error, loss) < best:
            best, best_epoch = (error, loss), number
            kept = {key: value.clone() for key, value in network.state_dict().items()}
        now = time.perf_counter()
        spent += now - start
        if now - saved >= save_every_s:
            _save(checkpoint, {
                "network": network.state_dict(), "optimiser": optimiser.state_dict(), "curve": curve,
                "newbob": (newbob.hyperparam_value, newbob.metric_values, newbob.current_patient), "spent": spent,
                "frames": frames, "best": best, "best_epoch": best_epoch, "kept": kept,
                "order": _listed(order.bit_generator.state), "random": _random(),
            })  # fmt: skip
            saved = time.perf_counter()
        told(number, error)
    if kept:
        network.load_state_dict(kept)
    count = sum(parameter.numel() for parameter in network.parameters())
    return Trained(curve, best_epoch, count, spent, frames / max(1e-9, spent))


def _random() -> dict[str, Any]:
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two runs at once on one store may train the same probe: each writes a file of its own.
    part = path.with_suffix(f".{os.getpid()}.part")
    torch.save(state, part)
    part.replace(path)


def _listed(state: Mapping[str, Any]) -> dict[str, Any]:
    """numpy's generator state with its 128-bit integers as text, which torch.load may read back."""
    return {key: _listed(value) if isinstance(value, dict) else str(value) for key, value in state.items()}


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in state.items():
        made[key] = _plain(value) if isinstance(value, dict) else value if key == "bit_generator" else int(value)
    return made
