"""Trainings on an executor: every result is stored at once, so that a killed run trains only what is missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench import device
from bench.engine import executors
from bench.engine.executors import Executor
from bench.engine.plan import Plan
from bench.progress import Progress
from bench.store import Store
from bench.writing import told


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
    """A folder for what trainings read, seen by every worker of the plan's executor; it is gone afterwards."""
    shared = executors.shared(plan.executor, store)
    with told(shared):
        shared.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=shared, prefix="inputs-")
    with folder as name:
        yield Path(name)


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
