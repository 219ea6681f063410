"""Where work runs: one interface over a process of its own, this machine's processes, a Ray cluster or Slurm.

An executor takes pure functions and their jobs and returns futures. It owns no store and knows no codec; the runner and the
probes are handed one. Names are found among the modules of this package and the entry points of group `bench.executors`,
whose value is a module with `make(options) -> Executor`.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from bench.errors import BadCard, BenchError, UnknownName

if TYPE_CHECKING:
    from bench.store import Store

Needs = Literal["cpu", "gpu"]
Result = TypeVar("Result")
GROUP = "bench.executors"
DEFAULT = "processes"
STORED = "stored"
"""In place of an executor's name: nothing runs, and what is not in the store is told as missing."""
SHARDS = "BENCH_SHARDS"
"""Names the folder that the driver and the nodes of a cluster share."""
WINDOW = 512
"""Utterances that are planned at a time, unless an executor's module has a WINDOW of its own."""
JOB_LIMIT_S = 1800.0
"""Seconds after which a job counts as hanging, unless BENCH_JOB_LIMIT says otherwise."""


class LostWorker(BenchError):
    """The worker that ran a job is gone, or was ended because the job hung: `kind` is "crash" or "hang"."""

    def __init__(self, message: str, kind: str = "crash") -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return (LostWorker, (str(self), self.kind))


class ExecutorUnavailable(BenchError):
    """An executor that cannot start here: its package is not installed, or nothing answers at its address."""


@dataclass(frozen=True)
class ExecutorOptions:
    """workers: jobs on CPUs at a time. gpus: devices that jobs with needs="gpu" run on ("cuda:0", ...), one at a time each.

    job_limit_s: a job that takes longer is ended and counts as lost. plan, command: digest of what is being run, and the
    words that ask for it.
    """

    workers: int = 1
    gpus: tuple[str, ...] = ()
    job_limit_s: float = field(default_factory=lambda: job_limit())
    plan: str = ""
    command: tuple[str, ...] = ()


class Executor(ABC):
    """Runs functions of one picklable argument somewhere. Use as a context manager."""

    places: int = 1
    """Jobs that are worth handing over before the first is done; more only costs memory."""
    local: bool = True
    """Whether jobs run on this machine, and so see its files."""

    @abstractmethod
    def submit(self, work: Callable[[Any], Result], job: Any, needs: Needs = "cpu") -> Future[Result]:
        """Run `work(job)` where `needs` can be had. The future raises what `work` raised, or LostWorker."""

    def flush(self) -> None:  # noqa: B027 - most executors gather nothing
        """Everything for now has been submitted: an executor that gathers jobs sends them off."""

    def restart(self) -> None:  # noqa: B027 - most executors mend themselves
        """Make lost workers anew. Jobs under way go on."""

    @abstractmethod
    def close(self) -> None:
        """End the workers; what is running is given up. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@cache
def targets() -> dict[str, str]:
    """Executor name -> module path, ours and other packages'. Nothing is imported."""
    own = {module.name: f"{__name__}.{module.name}" for module in iter_modules(__path__) if module.name[0] != "_"}
    return own | {entry.name: entry.value for entry in entry_points(group=GROUP)}


def check(name: str) -> str:
    """`name`, or UnknownName with the nearest ones."""
    if name not in targets():
        raise UnknownName("executor", name, targets())
    return name


def make(name: str, options: ExecutorOptions) -> Executor:
    """The executor called `name`. Raises UnknownName, ExecutorUnavailable, or BadCard when it has no `make`."""
    module = importlib.import_module(targets()[check(name)])
    build = getattr(module, "make", None)
    if not callable(build):
        raise BadCard(f"executor '{name}' ({module.__name__}) has no function make(options)")
    made: Executor = build(options)
    return made


def window(name: str) -> int:
    """How many utterances are planned at a time for the executor called `name`."""
    return WINDOW if name == STORED else int(getattr(importlib.import_module(targets()[check(name)]), "WINDOW", WINDOW))


def resume(name: str, store: Store) -> None:
    """Bring into the store what an earlier run left behind with the executor called `name`."""
    left = getattr(importlib.import_module(targets()[check(name)]), "resume", None)
    if left is not None:
        left(store)


def shared(name: str, store: Store) -> Path:
    """The folder of files that jobs read or leave beside their results, which every worker of the executor `name` sees: that of
    the executor's module (`folder()`) where jobs run on other machines, else the store's."""
    module = None if name == STORED else importlib.import_module(targets()[check(name)])
    own = getattr(module, "folder", None)
    found: Path | None = own() if own is not None else None
    return (found or store.path.parent).resolve()


def job_limit() -> float:
    """BENCH_JOB_LIMIT in seconds, else JOB_LIMIT_S. Raises BenchError for what is no positive number."""
    text = os.environ.get("BENCH_JOB_LIMIT", "")
    if not text:
        return JOB_LIMIT_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise BenchError(f"BENCH_JOB_LIMIT={text}: give a positive number of seconds")
    return seconds
