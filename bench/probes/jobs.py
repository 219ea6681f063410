"""One training as a job for an executor: inputs from a file, outputs as the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import device
from bench.probes.division import PARTS, Division
from bench.probes.settings import Settings

DEFINITION = "probe"
VERSION = "1"
PACKAGES = ("torch", "speechbrain")


class Resumable:
    """A training that goes on after a kill. `key` is where its result is stored, `folder` where its state is kept meanwhile."""

    folder: Path
    key: str

    @property
    def checkpoint(self) -> Path:
        """The training's state."""
        return self.folder / f"{self.key}.pt"

    def finished(self) -> None:
        """The driver has stored the result: the state is not needed any more."""
        self.checkpoint.unlink(missing_ok=True)


def ready(wanted: str) -> str:
    """Make this process ready to train on `wanted`, the same twice on a CPU; returns its own device of that kind."""
    import torch

    where = device.use(wanted)
    if device.is_cpu(where):
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    else:
        device.full_precision()
    return where


@dataclass(frozen=True)
class Job(Resumable):
    """A probe of `task` on the inputs in a file, for a division and a seed."""

    task: str
    inputs: Path
    division: Division
    settings: Settings
    seed: int
    folder: Path
    key: str
    device: str = "cpu"


def run(job: Job) -> dict[str, Any]:
    """Train (or go on with a training that was killed) and test: outputs per test utterance, curve and cost.

    The checkpoint stays until the driver has stored the result (`Resumable.finished`).
    """
    from bench.probes import text
    from bench.probes.examples import Example
    from bench.probes.inputs import Inputs
    from bench.probes.training import Probe

    train, valid, test = ([Example(name, job.division.targets[name]) for name in getattr(job.division, part)] for part in PARTS)
    classes = text.CLASSES if job.task == "asr" else len(job.division.classes)
    probe = Probe(job.task, Inputs.load(job.inputs), classes, job.settings, job.seed, ready(job.device))
    trained = probe.fit(train, valid, job.checkpoint)
    return {"outputs": probe.predict(test), **asdict(trained)}
