"""Slurm arrays, by way of submitit. Extra `[slurm]`.

Jobs are gathered and sent off as arrays; every task of an array appends what it made to a shard in a shared folder, from
which the driver takes it. The driver may die: `bench merge FOLDER`, or the same command again, goes on from the shards.

BENCH_SHARDS: the shared folder (default .bench/shards). BENCH_SLURM: Slurm's own options, `partition=gpu time=120 gres=gpu:1`.
BENCH_SLURM_CLUSTER=local runs the arrays on this machine, to try them. The driver's store must lie on a local disk.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bench.engine.executors import SHARDS, Executor, ExecutorOptions, ExecutorUnavailable, LostWorker, Needs, Result
from bench.engine.machine import one_thread
from bench.engine.shards import SUFFIX, BadShard, Header, Reader, Writer, absorb
from bench.errors import BenchError
from bench.store import Store

FLAGS, CLUSTER = "BENCH_SLURM", "BENCH_SLURM_CLUSTER"
JOBS_PER_TASK = 32
WINDOW = 8192
"""Utterances to plan at a time: an array is worth sending only when it is large."""
_POLL_S = 0.5


def folder() -> Path:
    """Where shards are written and read, and files that jobs share."""
    return Path(os.environ.get(SHARDS, Path(".bench") / "shards"))


class _Task:
    """One task of an array: its shard, the jobs it has, and their futures."""

    def __init__(self, name: str, jobs: Sequence[tuple[str, Callable, Any, Future]], home: Path) -> None:
        self.path = home / f"{name}{SUFFIX}"
        self.jobs = [(job, work, argument) for job, work, argument, _ in jobs]
        self.open = {job: future for job, _, _, future in jobs}
        self.reader = Reader(self.path)
        self.handle: Any = None


class Slurm(Executor):
    """Gathers jobs until `flush`, then sends arrays of `options.workers` tasks at most."""

    local = False

    def __init__(self, options: ExecutorOptions) -> None:
        self._options = options
        self._home = folder().resolve() / (options.plan[:16] or "run")
        self._cluster = os.environ.get(CLUSTER, "slurm")
        self._arrays = {need: self._array(need) for need in ("cpu", "gpu")}
        self._gathered: dict[Needs, list[tuple[str, Callable, Any, Future]]] = {"cpu": [], "gpu": []}
        self._tasks: list[_Task] = []
        self._closed = threading.Event()
        self.places = max(1, options.workers) * JOBS_PER_TASK
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _array(self, needs: str) -> Any:
        try:
            import submitit
        except ImportError as error:
            cure = "pip install 'speech-codec-bench[slurm]'"
            raise ExecutorUnavailable(f"EXECUTOR=slurm needs the package submitit: {cure}") from error
        if self._cluster == "slurm" and shutil.which("sbatch") is None:
            raise ExecutorUnavailable(
                f"EXECUTOR=slurm finds no sbatch here: run it on a login node, or set {CLUSTER}=local to try it on this machine"
            )
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            made = submitit.AutoExecutor(folder=self._home / "logs", cluster=self._cluster)
        except OSError as error:
            raise ExecutorUnavailable(f"{self._home}: cannot be written ({error}); set {SHARDS} to a shared folder") from error
        settings: dict[str, Any] = {"name": "speech-codec-bench", "cpus_per_task": 1}
        settings["timeout_min"] = max(1, int(self._options.job_limit_s * JOBS_PER_TASK / 60))
        if self._cluster == "slurm":
            settings["slurm_array_parallelism"] = max(1, self._options.workers)
            settings["slurm_additional_parameters"] = _flags()
            if needs == "gpu":
                settings["gpus_per_node"] = 1
        made.update_parameters(**settings)
        return made

    def submit(self, work: Callable[[Any], Result], job: Any, needs: Needs = "cpu") -> Future[Result]:
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        place: Needs = "gpu" if needs == "gpu" and self._options.gpus else "cpu"
        self._gathered[place].append((uuid.uuid4().hex, work, job, future))
        return future

    def flush(self) -> None:
        for needs, gathered in self._gathered.items():
            if not gathered:
                continue
            self._gathered[needs] = []
            # Spread over the tasks that may run at once, so that a short run uses all of them.
            size = max(1, min(JOBS_PER_TASK, -(-len(gathered) // max(1, self._options.workers))))
            tasks = [
                _Task(uuid.uuid4().hex, gathered[start : start + size], self._home) for start in range(0, len(gathered), size)
            ]
            header = Header(self._options.plan, self._options.command)
            handles = self._arrays[needs].map_array(_run, [(task.path, header, task.jobs) for task in tasks])
            for task, handle in zip(tasks, handles, strict=True):
                task.handle = handle
            self._tasks += tasks

    def _watch(self) -> None:
        while not self._closed.wait(_POLL_S):
            for task in list(self._tasks):
                try:
                    over = task.handle.done()
                    self._take(task)
                except Exception as error:
                    self._drop(task, BenchError(f"{task.path}: {error}") if not isinstance(error, BenchError) else error)
                    continue
                if over and task.open:
                    time.sleep(_POLL_S)  # a network file system may show the end of the file late
                    self._take(task)
                    self._drop(task, LostWorker(f"the Slurm task {task.handle.job_id} ended before its jobs did"))
                elif not task.open:
                    self._tasks.remove(task)

    def _take(self, task: _Task) -> None:
        if not task.path.exists():
            return
        for record in task.reader.records():
            future = task.open.pop(record.job, None)
            if future is None:
                continue
            done, value = record.outcome()
            if done:
                future.set_result(value)
            else:
                future.set_exception(value)

    def _drop(self, task: _Task, error: Exception) -> None:
        self._tasks.remove(task)
        for future in task.open.values():
            future.set_exception(error)

    def close(self) -> None:
        self._closed.set()
        for task in self._tasks:
            if task.open and task.handle is not None and not task.handle.done():
                task.handle.cancel(check=False)


def resume(store: Store) -> None:
    """Take what is in the shards of runs whose driver died."""
    for path in sorted(folder().rglob(f"*{SUFFIX}")):
        try:
            absorb([path], store)
        except BadShard as error:
            print(f"warning: {error}; it is left out", file=sys.stderr)


def _run(given: tuple[Path, Header, Sequence[tuple[str, Callable, Any]]]) -> int:
    """A task of an array: its jobs one after another, each appended to the shard when it is done."""
    one_thread()
    path, header, jobs = given
    writer = Writer(path, header)
    for name, work, argument in jobs:
        writer.append(name, work, argument)
    writer.close()
    return len(jobs)


def _flags() -> dict[str, str]:
    """BENCH_SLURM as Slurm's options. Raises BenchError for words that are not name=value."""
    found = {}
    for word in os.environ.get(FLAGS, "").split():
        name, equals, value = word.lstrip("-").partition("=")
        if not name or not equals:
            raise BenchError(f"{FLAGS}: '{word}' is not name=value, as in {FLAGS}='partition=gpu time=120'")
        found[name] = value
    return found


def make(options: ExecutorOptions) -> Slurm:
    """Finds Slurm, or runs arrays here where BENCH_SLURM_CLUSTER is local. Raises ExecutorUnavailable."""
    return Slurm(options)
