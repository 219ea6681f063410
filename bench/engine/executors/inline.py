"""Everything in this process, one job after another: for debuggers and profilers. A codec that exits takes the run along."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from bench.engine.executors import Executor, ExecutorOptions, Needs, Result


class Inline(Executor):
    """Runs a job when it is submitted; its future is done on return."""

    def submit(self, work: Callable[[Any], Result], job: Any, needs: Needs = "cpu") -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(work(job))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass


def make(options: ExecutorOptions) -> Inline:
    """No option matters: there is one place."""
    return Inline()
