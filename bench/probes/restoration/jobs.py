"""One training of a head as a job for an executor: pairs from files, predicted tokens as the result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import device
from bench.probes.restoration.settings import Settings

DEFINITION = "restoration"
VERSION = "1"
PACKAGES = ("torch", "speechbrain")


@dataclass(frozen=True)
class Job:
    """A head on the pairs in a file, for lists of utterances and a seed. `key` is where its result is stored.

    checkpoints: folder where a training that was killed left its state.
    """

    pairs: Path
    train: Sequence[str]
    valid: Sequence[str]
    test: Sequence[str]
    settings: Settings
    seed: int
    checkpoints: Path
    key: str
    device: str = "cpu"

    @property
    def checkpoint(self) -> Path:
        """Where the training's state is kept while it runs."""
        return self.checkpoints / f"{self.key}.pt"


def run(job: Job) -> dict[str, Any]:
    """Train (or go on with a training that was killed) and predict: tokens per test utterance, curve and cost."""
    import torch

    from bench.probes.restoration.pairs import Pairs
    from bench.probes.restoration.training import Head
    from bench.probes.training import Example

    where = os.environ.get("BENCH_WORKER_DEVICE", job.device) if job.device == "cuda" else job.device
    if device.is_cpu(where):
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    else:
        device.full_precision()
    train, valid, test = ([Example(name, "") for name in some] for some in (job.train, job.valid, job.test))
    head = Head(Pairs.load(job.pairs), job.settings, job.seed, where)
    trained = head.fit(train, valid, job.checkpoint)
    return {
        "tokens": head.predict(test), "curve": trained.curve, "best_epoch": trained.best_epoch,
        "parameters": trained.parameters, "seconds": trained.seconds, "frames_per_s": trained.frames_per_s,
    }  # fmt: skip


def finished(job: Job) -> None:
    """The result of `job` is stored: its checkpoint is not needed any more."""
    job.checkpoint.unlink(missing_ok=True)
