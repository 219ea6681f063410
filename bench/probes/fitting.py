"""The training loop of every network on codec tokens: NewBob on the validation loss, the best epoch kept.

A killed training goes on after the last epoch that was saved and ends with the same weights; one seed gives one result
on a CPU.
"""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bench import device
from bench.errors import BenchError
from bench.probes.examples import Batch, Example, batches
from bench.probes.inputs import Inputs
from bench.probes.settings import Training


@dataclass(frozen=True)
class Trained:
    """A finished training: validation errors, its best epoch (from 1), cost; frames_per_s counts training frames."""

    curve: list[float]
    best_epoch: int
    parameters: int
    seconds: float
    frames_per_s: float


class Learner(ABC):
    """A network on codec tokens that is trained with one seed: its weights, its optimiser, and the order of its batches."""

    what: ClassVar[str]
    """What messages call it."""
    save_every_s: float = 0.0
    """The checkpoint is renewed after an epoch, where so many seconds passed since the last time."""

    def __init__(
        self,
        inputs: Inputs,
        make: Callable[[], nn.Module],
        settings: Training,
        seed: int,
        device: str,
        optimiser: type[torch.optim.Optimizer] = torch.optim.AdamW,
    ) -> None:
        torch.manual_seed(seed)
        self.inputs, self.settings, self.device = inputs, settings, device
        self.network = make().to(device)
        self.optimiser = optimiser(
            self.network.parameters(), lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
        )  # type: ignore[call-arg]
        self.order = np.random.default_rng(seed)

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """What a step makes smaller."""

    @abstractmethod
    def validate(self, examples: Sequence[Example]) -> tuple[float, float]:
        """(error, loss): the first chooses the epoch, the second lowers the rate."""

    @property
    def crop(self) -> int:
        """Frames of the random stretch of every utterance that training reads; 0: all of it."""
        return 0

    def step(self, batch: Batch) -> float:
        """One update of the weights; returns the loss. Raises BenchError when it is not finite: the only value of a step that
        the device is waited for, and not before the way back is on its way."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BenchError(f"{self.inputs.name}: the {self.what}'s loss is {value}; lower its learning_rate")
        self.optimiser.step()
        return value

    def _epoch(self, train: Sequence[Example]) -> int:
        """One pass over the training utterances; returns how many frames they had."""
        shuffle = self.order if self.settings.order == "shuffled" else None
        frames = 0
        for batch in batches(train, self.inputs, self.settings.batch, self.device, shuffle, self.crop):
            self.step(batch)
            frames += int(batch.lengths.sum())
        return frames

    def fit(
        self,
        train: Sequence[Example],
        valid: Sequence[Example],
        checkpoint: Path,
        told: Callable[[int, float], None] = lambda number, error: None,
    ) -> Trained:
        """Train to the end of the schedule (or go on where a killed run was) and take the best epoch's weights.

        checkpoint: where the state is kept; the caller removes it. told(epoch, validation error) after each.
        """
        from speechbrain.nnet.schedulers import NewBobScheduler

        settings = self.settings
        newbob = NewBobScheduler(
            settings.learning_rate,
            annealing_factor=settings.anneal,
            improvement_threshold=settings.improvement,
            patient=settings.patience,
        )
        curve: list[float] = []
        best: tuple[float, float] = (math.inf, math.inf)
        best_epoch, kept = 0, {}
        spent, frames = 0.0, 0
        if checkpoint.is_file():
            state = torch.load(checkpoint, weights_only=True, map_location=next(self.network.parameters()).device)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            newbob.hyperparam_value, newbob.metric_values, newbob.current_patient = state["newbob"]
            curve, spent, frames = state["curve"], state["spent"], state["frames"]
            best, best_epoch, kept = tuple(state["best"]), state["best_epoch"], state["kept"]
            self.order.bit_generator.state = _plain(state["order"])
            _set_random(state["random"], self.device)
        saved = time.perf_counter()
        for number in range(len(curve) + 1, settings.epochs + 1):
            start = time.perf_counter()
            self.network.train()
            frames += self._epoch(train)
            error, loss = self.validate(valid)
            curve.append(error)
            _, rate = newbob(loss)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            if (error, loss) < best:
                best, best_epoch = (error, loss), number
                kept = {key: value.clone() for key, value in self.network.state_dict().items()}
            now = time.perf_counter()
            spent += now - start
            if now - saved >= self.save_every_s:
                save(checkpoint, {
                    "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "curve": curve,
                    "newbob": (newbob.hyperparam_value, newbob.metric_values, newbob.current_patient), "spent": spent,
                    "frames": frames, "best": best, "best_epoch": best_epoch, "kept": kept,
                    "order": _listed(self.order.bit_generator.state), "random": _random(self.device),
                })  # fmt: skip
                saved = time.perf_counter()
            told(number, error)
        if kept:
            self.network.load_state_dict(kept)
        count = sum(parameter.numel() for parameter in self.network.parameters())
        return Trained(curve, best_epoch, count, spent, frames / max(1e-9, spent))


def _random(where: str) -> dict[str, Any]:
    """States of the generators that a training on the device `where` draws from."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.kind(where) == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(where)
    return states


def _set_random(states: Mapping[str, Tensor], where: str) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if device.kind(where) == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), where)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` as torch does, in one atomic step. Raises OSError that names the file where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two runs at once on one store may train the same probe: each writes a file of its own.
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            torch.save(state, stream)
        part.replace(path)
    except (OSError, RuntimeError) as error:
        fault = error if isinstance(error, OSError) else error.__context__  # torch hides a full disk behind an error of its own
        if isinstance(fault, OSError):
            raise OSError(fault.errno, fault.strerror, str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _listed(state: Mapping[str, Any]) -> dict[str, Any]:
    """numpy's generator state with its 128-bit integers as text, which torch.load may read back."""
    return {key: _listed(value) if isinstance(value, dict) else str(value) for key, value in state.items()}


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in state.items():
        made[key] = _plain(value) if isinstance(value, dict) else value if key == "bit_generator" else int(value)
    return made
