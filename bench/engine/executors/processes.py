"""Worker processes on this machine: one per CPU core asked for, and one per GPU.

Each worker has a thread here that hands it one job at a time. A worker that dies or hangs costs the job that it had;
the others go on, and a new one takes its place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from bench.engine.executors import Executor, ExecutorOptions, LostWorker, Needs, Result
from bench.engine.machine import one_thread
from bench.errors import in_words

_SPAWN = multiprocessing.get_context("spawn")


class _Lane:
    """One worker process, the jobs waiting for its kind, and the thread that stands between them."""

    def __init__(self, jobs: queue.SimpleQueue, device: str | None, limit_s: float) -> None:
        self._jobs, self._device, self._limit_s = jobs, device, limit_s
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (item := self._jobs.get()) is not None:
            future, message = item
            if self._closed or not future.set_running_or_notify_cancel():
                continue
            try:
                answer = self._ask(message)
            except (EOFError, OSError):
                self._end()
                if not self._closed:
                    future.set_exception(LostWorker("the worker process died"))
            except LostWorker as lost:
                self._end()
                future.set_exception(lost)
            else:
                _settle(future, answer)

    def _ask(self, message: bytes) -> tuple[bool, Any]:
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._pipe is not None
        self._pipe.send_bytes(message)
        if not self._pipe.poll(self._limit_s):
            raise LostWorker(f"the worker was ended after {self._limit_s:g} s (BENCH_JOB_LIMIT sets the limit)", "hang")
        answer: tuple[bool, Any] = pickle.loads(self._pipe.recv_bytes())
        return answer

    def _start(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(theirs, self._device), daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None:
            process.kill()
            process.join(5)
        if pipe is not None:
            pipe.close()

    def close(self) -> None:
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()


class Processes(Executor):
    """`options.workers` processes for CPU jobs and one for each of `options.gpus`."""

    def __init__(self, options: ExecutorOptions) -> None:
        one_thread()  # children inherit it before they import anything
        self._queues: dict[Needs, queue.SimpleQueue] = {"cpu": queue.SimpleQueue(), "gpu": queue.SimpleQueue()}
        self._lanes = [_Lane(self._queues["cpu"], None, options.job_limit_s) for _ in range(options.workers)]
        self._lanes += [_Lane(self._queues["gpu"], device, options.job_limit_s) for device in options.gpus]
        self._gpus = len(options.gpus)
        self.places = 2 * len(self._lanes) + 1
        self._closed = False

    def submit(self, work: Callable[[Any], Result], job: Any, needs: Needs = "cpu") -> Future[Result]:
        if self._closed:
            raise RuntimeError("the executor is closed")
        place: Needs = "gpu" if needs == "gpu" and self._gpus else "cpu"
        future: Future[Result] = Future()
        # Pickled here, so that what cannot travel is told to the caller and not to a thread.
        self._queues[place].put((future, pickle.dumps((work, job), pickle.HIGHEST_PROTOCOL)))
        return future

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for lane in self._lanes:
            lane.close()
        for place in self._queues.values():
            for _ in self._lanes:
                place.put(None)


def _settle(future: Future, answer: tuple[bool, Any]) -> None:
    done, value = answer
    if done:
        future.set_result(value)
    else:
        future.set_exception(value)


def _work(pipe: Connection, device: str | None) -> None:
    """A worker's life: take a job, do it, answer; until the parent is gone."""
    begin(device)
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        answer: tuple[bool, Any]
        try:
            work, job = pickle.loads(message)
            answer = True, work(job)
        except Exception as error:
            answer = False, error
        try:
            data = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # an answer that cannot travel is the job's failure, not the worker's
            data = pickle.dumps((False, RuntimeError(in_words(error))))
        pipe.send_bytes(data)


def begin(device: str | None = None) -> None:
    """First thing in a worker: one thread, one GPU, no answer to Ctrl-C, and an end with the parent's (kill -9 included)."""
    one_thread()
    if device is not None:
        os.environ["BENCH_WORKER_DEVICE"] = device
    with contextlib.suppress(ValueError):  # not in a main thread: the parent's own handler stands
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def make(options: ExecutorOptions) -> Processes:
    """`workers` processes for CPU jobs and one for each of `gpus`."""
    return Processes(options)
