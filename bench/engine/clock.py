"""Seconds of computing, as rows report them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from bench.foreign import cpu

Result = TypeVar("Result")


def _cpu_s() -> float:
    return time.process_time() + cpu.spent_s()


class Clock:
    """CPU time of this process, and of codecs' own ones, on a CPU (unmoved by neighbours); synchronised wall time on CUDA."""

    def __init__(self, device: str) -> None:
        self._synchronise: Callable[[], None] = lambda: None
        self._now: Callable[[], float] = _cpu_s
        if device.startswith("cuda"):
            import torch

            self._synchronise, self._now = partial(torch.cuda.synchronize, device), time.perf_counter

    def time(self, work: Callable[[], Result]) -> tuple[Result, float]:
        """What `work` returns, and the seconds it took."""
        self._synchronise()
        start = self._now()
        result = work()
        self._synchronise()
        return result, self._now() - start
