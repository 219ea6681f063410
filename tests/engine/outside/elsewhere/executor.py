"""Jobs in a thread of this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.engine.executors import Executor, ExecutorOptions, Needs


class Threads(Executor):
    """One thread; writes down how many jobs it ran."""

    def __init__(self) -> None:
        self._pool, self._jobs = ThreadPoolExecutor(1), 0

    def submit(self, work: Callable[[Any], Any], job: Any, needs: Needs = "cpu") -> Future:
        """Run `work(job)` in the thread."""
        self._jobs += 1
        return self._pool.submit(work, job)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()
        Path("jobs.txt").write_text(str(self._jobs))


def make(options: ExecutorOptions) -> Threads:
    """One thread, whatever the options say."""
    return Threads()
