"""A Ray cluster: the one at RAY_ADDRESS, else one on this machine. Extra `[ray]`.

Jobs that need a GPU ask Ray for BENCH_RAY_GPU of one (default 1; a fraction lets several share a card). Ray is told not to
try a lost job again: the runner does, utterance by utterance. Data lie on storage that every node sees under one path;
weights are found on each node by kind and digest. Every node has this package, and the same versions as the driver.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bench.engine.executors import SHARDS, Executor, ExecutorOptions, ExecutorUnavailable, LostWorker, Needs, Result
from bench.engine.machine import ENVIRONMENT
from bench.errors import BenchError

ADDRESS, GPU_SHARE = "RAY_ADDRESS", "BENCH_RAY_GPU"


def folder() -> Path | None:
    """The folder that all nodes share, where BENCH_SHARDS names one."""
    return Path(os.environ[SHARDS]) if SHARDS in os.environ else None


class Ray(Executor):
    """Jobs as Ray tasks of one CPU, or of a share of a GPU."""

    local = False

    def __init__(self, options: ExecutorOptions) -> None:
        self._ray = _ray()
        self._mine = not self._ray.is_initialized()
        if self._mine:
            _connect(self._ray, options)
        self._limit_s = options.job_limit_s
        total = self._ray.cluster_resources()
        self._share = _share() if options.gpus else 0.0
        self.places = 2 * int(total.get("CPU", 1) + (total.get("GPU", 0) / self._share if self._share else 0)) + 1
        self._tasks: dict[tuple[Callable, Needs], Any] = {}

    def submit(self, work: Callable[[Any], Result], job: Any, needs: Needs = "cpu") -> Future[Result]:
        answer = self._task(work, needs).remote(job)
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        answer.future().add_done_callback(lambda done: self._settle(done, future))
        return future

    def _task(self, work: Callable[[Any], Any], needs: Needs) -> Any:
        key = work, needs
        if key not in self._tasks:
            gpu = {"num_gpus": self._share, "num_cpus": 0} if needs == "gpu" and self._share else {"num_cpus": 1}
            remote = self._ray.remote(_limited)
            self._tasks[key] = _Bound(remote.options(max_retries=0, **gpu), work, self._limit_s)
        return self._tasks[key]

    def _settle(self, done: Future, future: Future) -> None:
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            future.set_exception(error.cause if isinstance(error.cause, Exception) else error)
        else:
            # A worker that crashed, a node that died, memory that Ray's monitor took back.
            future.set_exception(LostWorker(f"Ray lost the job: {type(error).__name__}"))

    def close(self) -> None:
        if self._mine and self._ray.is_initialized():
            self._ray.shutdown()


class _Bound:
    """A remote function with its first arguments."""

    def __init__(self, remote: Any, work: Callable[[Any], Any], limit_s: float) -> None:
        self._remote, self._work, self._limit_s = remote, work, limit_s

    def remote(self, job: Any) -> Any:
        return self._remote.remote(self._work, job, self._limit_s)


def _limited(work: Callable[[Any], Any], job: Any, limit_s: float) -> Any:
    """`work(job)`; a job that hangs takes its Ray worker down, which the driver sees as a lost worker."""
    import threading

    timer = threading.Timer(limit_s, os._exit, (1,))
    timer.daemon = True
    timer.start()
    try:
        return work(job)
    finally:
        timer.cancel()


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ExecutorUnavailable("EXECUTOR=ray needs the package ray: pip install 'speech-codec-bench[ray]'") from error
    return ray


def _connect(ray: Any, options: ExecutorOptions) -> None:
    address = os.environ.get(ADDRESS)
    environment = {"env_vars": dict(ENVIRONMENT)}
    quiet = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
    try:
        if address:
            _answers(address)
            ray.init(address=address, runtime_env=environment, **quiet)
        else:
            gpus = {"num_gpus": len(options.gpus)} if options.gpus else {}
            ray.init(
                address="local", num_cpus=max(1, options.workers), include_dashboard=False, runtime_env=environment,
                **gpus, **quiet,
            )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = f"{ADDRESS}={address}" if address else "on this machine"
        cure = f"start it, or unset {ADDRESS} for one on this machine" if address else "see the reason"
        raise ExecutorUnavailable(f"no Ray cluster {where} ({_first_line(error)}): {cure}") from error


def _answers(address: str) -> None:
    """Raises OSError when nothing listens at `address`: Ray itself would try for minutes, and then end the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _share() -> float:
    text = os.environ.get(GPU_SHARE, "1")
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise BenchError(f"{GPU_SHARE}={text}: give a share of a GPU, above 0 and at most 1")
    return share


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def make(options: ExecutorOptions) -> Ray:
    """Connects to the cluster, or starts one here. Raises ExecutorUnavailable."""
    return Ray(options)
