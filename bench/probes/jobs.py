"""One training as a job for an executor: inputs from a file, outputs as the result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import device
from bench.probes.division import PARTS, Division
from bench.probes.settings import Settings

DEFINITION = "probe"
VERSION = "1"
PACKAGES = ("torch", "speechbrain")


@dataclass(frozen=True)
class Job:
    """A probe of `task` on the inputs in a file, for a division and a seed. `key` is where its result is stored.

    checkpoints: folder where a training that was killed left its state.
    """

    task: str
    inputs: Path
    division: Division
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
    """Train (or go on with a training that was killed) and test: outputs per test utterance, curve and cost.

    The checkpoint stays until the driver has stored the result (see `finished`).
    """
    import torch

    from bench.probes import text
    from bench.probes.inputs import Inputs
    from bench.probes.training import Example, Probe

    where = os.environ.get("BENCH_WORKER_DEVICE", job.device) if job.device == "cuda" else job.device
    if device.is_cpu(where):
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    else:
        device.full_precision()
    train, valid, test = ([Example(name, job.division.targets[name]) for name in getattr(job.division, part)] for part in PARTS)
    classes = text.CLASSES if job.task == "asr" else len(job.division.classes)
    probe = Probe(job.task, Inputs.load(job.inputs), classes, job.settings, job.seed, where)
    trained = probe.fit(train, valid, job.checkpoint)
    return {
        "outputs": probe.predict(test), "curve": trained.curve, "best_epoch": trained.best_epoch,
        "parameters": trained.parameters, "seconds": trained.seconds, "frames_per_s": trained.frames_per_s,
    }  # fmt: skip


def finished(job: Job) -> None:
    """The result of `job` is stored: its checkpoint is not needed any more."""
    job.checkpoint.unlink(missing_ok=True)
