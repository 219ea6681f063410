"""One training of a head as a job for an executor: pairs from files, predicted tokens as the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.probes.jobs import Resumable, ready
from bench.probes.restoration.settings import Settings

DEFINITION = "restoration"
VERSION = "2"
PACKAGES = ("torch", "speechbrain")


@dataclass(frozen=True)
class Job(Resumable):
    """A head on the pairs in a file, for lists of utterances and a seed."""

    pairs: Path
    train: Sequence[str]
    valid: Sequence[str]
    test: Sequence[str]
    settings: Settings
    seed: int
    folder: Path
    key: str
    device: str = "cpu"


def run(job: Job) -> dict[str, Any]:
    """Train (or go on with a training that was killed) and predict: tokens per test utterance, curve and cost."""
    from bench.probes.examples import Example
    from bench.probes.restoration.pairs import Pairs
    from bench.probes.restoration.training import Head

    train, valid, test = ([Example(name, "") for name in some] for some in (job.train, job.valid, job.test))
    head = Head(Pairs.load(job.pairs), job.settings, job.seed, ready(job.device))
    trained = head.fit(train, valid, job.checkpoint)
    return {"tokens": head.predict(test), **asdict(trained)}
