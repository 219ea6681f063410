"""Progress of long work: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

_EVERY_S = 10.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{rest:02d}"


class Progress:
    """Counts `total` units of `title`. Use as a context manager."""

    def __init__(self, total: int, title: str, unit: str = "item") -> None:
        self.total, self.title, self.unit = total, title, unit
        self.done = 0
        self._start = self._told = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, rate="", note="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            print(
                f"{self.title}: {self.done}/{self.total} in {_clock(time.monotonic() - self._start)}",
                file=sys.stderr,
                flush=True,
            )

    @property
    def rate(self) -> float:
        """Units per second so far."""
        return self.done / max(1e-9, time.monotonic() - self._start)

    def note(self, text: str) -> None:
        """What is being done now."""
        if self._bar is not None:
            self._bar.update(self._task, note=text)

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, advance=count, note=note, rate=f"{self.rate:.1f} {self.unit}/s")
            return
        now = time.monotonic()
        if now - self._told >= _EVERY_S:
            self._told = now
            left = (self.total - self.done) / max(1e-9, self.rate)
            print(
                f"{self.title}: {self.done}/{self.total}, {self.rate:.1f} {self.unit}/s, {_clock(left)} left  {note}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
