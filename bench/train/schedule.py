"""Learning-rate schedules over the progress of a run, and the clock that progress is read from."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from bench.train.settings import OptimiserSettings, RunSettings


@dataclass
class Clock:
    """How far a run is: by steps, or by minutes of training where the budget is time.

    Time in pauses between resumptions does not count; `seconds` is what earlier processes spent.
    """

    settings: RunSettings
    step: int = 0
    seconds: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds of training so far, earlier processes included."""
        return self.seconds + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end of the budget."""
        if self.settings.steps:
            return min(1.0, self.step / self.settings.steps)
        return min(1.0, self.elapsed() / (60.0 * self.settings.minutes))

    @property
    def done(self) -> bool:
        """Whether the budget is used up."""
        return self.progress >= 1.0

    def left_s(self, rate: float) -> float:
        """Seconds until the end at `rate` steps a second."""
        if self.settings.steps:
            return (self.settings.steps - self.step) / max(rate, 1e-9)
        return 60.0 * self.settings.minutes - self.elapsed()


class Schedule:
    """The factor on the learning rate. `newbob` changes it in `validated`, the others by progress or step alone."""

    def __init__(self, settings: OptimiserSettings) -> None:
        self.settings = settings
        self.factor = 1.0
        self.best = math.inf

    def scale(self, progress: float, step: int) -> float:
        """Factor of the learning rate at this point of the run."""
        s = self.settings
        warm = min(1.0, progress / s.warmup) if s.warmup > 0 else 1.0
        # A first step of rate zero would be wasted.
        warm = max(warm, 0.01)
        if s.schedule == "cosine":
            return warm * (s.final + (1 - s.final) * 0.5 * (1 + math.cos(math.pi * progress)))
        if s.schedule == "exponential":
            return warm * s.decay ** (step // s.decay_steps)
        return warm * self.factor

    def validated(self, loss: float) -> None:
        """NewBob: lower the rate when the relative improvement of the validation loss is below the threshold."""
        improved = (self.best - loss) / abs(self.best) if math.isfinite(self.best) and self.best else math.inf
        if self.settings.schedule == "newbob" and improved < self.settings.threshold:
            self.factor *= self.settings.decay
        self.best = min(self.best, loss)

    def state(self) -> dict[str, float]:
        """What a checkpoint needs."""
        return {"factor": self.factor, "best": self.best}

    def restore(self, state: dict[str, float]) -> None:
        """Take over what `state` gave."""
        self.factor, self.best = state["factor"], state["best"]
