"""Trainings on an executor: every result is stored at once, so that a killed run trains only what is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench import device
from bench.engine import executors
from bench.engine.executors import Executor
from bench.engine.plan import Plan
from bench.progress import Progress
from bench.store import Store
from bench.writing import told

_PREFIX, _HELD = "inputs-", "held"


class Training(Protocol):
    """A job that trains; see `bench.probes.jobs.Resumable`."""

    @property
    def key(self) -> str:
        """Where its result is stored."""

    @property
    def seed(self) -> int:
        """Of the weights and of the order of batches."""

    def finished(self) -> None:
        """The result is stored."""


@contextmanager
def scratch(plan: Plan, store: Store) -> Iterator[Path]:
    """A folder for what trainings read, seen by every worker of the plan's executor; it is gone afterwards, or where the run was
    killed, when the next one comes by."""
    shared = executors.shared(plan.executor, store)
    with told(shared):
        shared.mkdir(parents=True, exist_ok=True)
        _sweep(shared)
        folder = tempfile.TemporaryDirectory(dir=shared, prefix=_PREFIX)
    with folder as name, Path(name, ".held").open("w") as held:
        with suppress(OSError):  # a file system without locks: such a folder has no mark, and nobody sweeps it
            fcntl.flock(held, fcntl.LOCK_EX)
            os.replace(held.name, Path(name, _HELD))
        yield Path(name)


def _sweep(shared: Path) -> None:
    """Remove the folders of runs that were killed: nobody holds the lock in them any more."""
    for left in shared.glob(f"{_PREFIX}*"):
        with suppress(OSError), (left / _HELD).open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


J = TypeVar("J", bound=Training)


def run(
    do: Callable[[J], dict[str, Any]], due: Sequence[J], plan: Plan, store: Store, executor: Executor, *, label: str, stage: str
) -> dict[str, dict[str, Any]]:
    """Results of the trainings `due` by key. label: what the progress calls them; stage: of the store's records."""
    results = {}
    with Progress(len(due), label, unit="training") as progress:
        pending = {executor.submit(do, job, "cpu" if device.is_cpu(plan.device) else "gpu"): job for job in due}
        executor.flush()
        for future in as_completed(pending):
            job = pending[future]
            results[job.key] = future.result()
            store.put(job.key, stage, results[job.key])
            job.finished()
            progress.advance(1, f"seed {job.seed}")
    return results
