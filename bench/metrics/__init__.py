"""The contract of metrics, and finding them by name. A metric is one module of this package (or an entry point in the
group `bench.metrics`) that defines METRIC or METRICS; heavy packages are imported only when a score is computed."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench.errors import BenchError, UnknownName

if TYPE_CHECKING:
    import numpy as np

    from bench.metrics.networks import Network

Analysis: TypeAlias = "Mapping[str, np.ndarray | str | float]"


class MetricFailure(Exception):
    """A score that does not exist. `kind` is counted in tables: silence, too_short, not_finite, language, ..."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail = kind, detail

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return (MetricFailure, (self.kind, self.detail))


PASSING = frozenset({"error", "out_of_memory"})
"""Kinds of failure that say nothing of the signal: they are not kept, and the next run tries again."""


@dataclass(frozen=True)
class Ratio:
    """A per-utterance part of a corpus-level rate: the corpus value is sum(num) / sum(den)."""

    num: float
    den: float


Value: TypeAlias = "float | Ratio | MetricFailure"


@dataclass(frozen=True)
class Column:
    """One column that a metric yields. `margin` is the gate's non-inferiority margin in the column's unit."""

    name: str
    title: str
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "higher"
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    decimals: int = 2
    scale: float = 1.0
    """Factor for display only (100 turns a share into %)."""
    role: Literal["score", "fact", "trace", ""] = ""
    """A score ranks systems; a fact is told beside the scores; a trace is for checks and stands in no table. Where it is
    left out: a score, or a fact where neither direction is better."""

    def __post_init__(self) -> None:
        if not self.role:
            object.__setattr__(self, "role", "fact" if self.better == "neither" else "score")
        if self.role == "score" and self.better == "neither":
            raise BenchError(f"column '{self.name}' is a score: say which is better, 'higher' or 'lower'")


@dataclass
class Signal:
    """A wave with what is known of it. `analysis` holds what the metric's own `analyse` returned for it."""

    wave: np.ndarray
    rate_hz: int
    text: str | None = None
    language: str = "en"
    analysis: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A definition with a version. `analyse` depends on one signal (cached for references); `score` compares two.

    bench.metrics.shapes builds the usual kinds. A metric whose `analyse` is a pretrained network names it as `network`: it
    is then evaluated in batches on a device (`load`, `analyse_on`), and its `analyse` and `weights` follow from it.
    """

    name: str
    columns: tuple[Column, ...]
    score: Callable[[Signal, Signal], Mapping[str, Value]]
    analyse: Callable[[Sequence[Signal]], list[Analysis | MetricFailure]] | None = None
    rate_hz: int = 16000
    version: str = "1"
    packages: tuple[str, ...] = ()
    needs_text: bool = False
    weights: Callable[[], Sequence[Path]] = tuple
    """Pretrained files that a score depends on, those inside packages too; fetched if not here. Raises WeightsMissing."""
    one_sided: bool = False
    """True when the score reads the degraded signal only (MOS predictors): the reference's own score is its ceiling."""
    network: Network | None = None
    knows: Callable[[str], bool] = field(default=lambda language: True, repr=False)
    """Whether speech in a language (BCP 47) can be scored: a recogniser does not know every one."""

    def __post_init__(self) -> None:
        if self.network is not None:
            if self.analyse is None:
                object.__setattr__(self, "analyse", partial(self.analyse_on, "cpu"))
            if self.weights is tuple:
                object.__setattr__(self, "weights", self.network.weights)

    @property
    def device(self) -> bool:
        """Whether `analyse` is a network that runs on a device; a metric without one runs on the CPU."""
        return self.network is not None

    def place(self, device: str) -> str:
        """Where `analyse_on(device)` runs: `device`, or "cpu" for a metric that cannot use it."""
        return self.network.place(device) if self.network is not None else "cpu"

    def load(self, device: str = "cpu") -> Any:
        """The network on `device` ("cpu", "cuda", "cuda:1"), loaded once a process. Raises WeightsMissing."""
        return self._network().on(device)

    def analyse_on(
        self, device: str, signals: Sequence[Signal], *, batched: bool | None = None
    ) -> list[Analysis | MetricFailure]:
        """`analyse` with the network on `device`, in batches by seconds of audio. See bench.metrics.networks.analyse."""
        from bench.metrics import networks

        return networks.analyse(self._network(), signals, device, batched=batched)

    def _network(self) -> Network:
        if self.network is None:
            raise BenchError(f"metric '{self.name}' has no network: it runs on the CPU, by its `analyse` and `score`")
        return self.network


@cache
def _index() -> dict[str, str]:
    """Column or metric name -> module, learnt by importing the light metric modules once."""
    found: dict[str, str] = {}
    targets = [f"{__name__}.{info.name}" for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")]
    targets += [entry.value for entry in entry_points(group="bench.metrics")]
    for target in targets:
        for metric in _metrics_of(target):
            for name in (metric.name, *(column.name for column in metric.columns)):
                other = found.setdefault(name, target)
                if other != target:
                    raise BenchError(f"metric name '{name}' is defined by both {other} and {target}: rename one")
    return found


def _metrics_of(target: str) -> tuple[Metric, ...]:
    module = importlib.import_module(target)
    metrics = getattr(module, "METRICS", None) or ((module.METRIC,) if hasattr(module, "METRIC") else ())
    return tuple(metrics)


def names() -> list[str]:
    """Every column name that some metric yields."""
    return sorted({column.name for target in set(_index().values()) for m in _metrics_of(target) for column in m.columns})


def every() -> list[Metric]:
    """Every metric, ours and other packages'."""
    return [metric for target in sorted(set(_index().values())) for metric in _metrics_of(target)]


def find(name: str) -> Metric:
    """The metric called `name`, or the one that yields the column `name`."""
    if name not in _index():
        raise UnknownName("metric", name, _index())
    target = _index()[name]
    for metric in _metrics_of(target):
        if metric.name == name or any(column.name == name for column in metric.columns):
            return metric
    raise UnknownName("metric", name, _index())


def find_all(columns: Sequence[str]) -> list[Metric]:
    """The distinct metrics that yield `columns`, in order."""
    seen: dict[str, Metric] = {}
    for column in columns:
        metric = find(column)
        seen.setdefault(metric.name, metric)
    return list(seen.values())


def module_of(metric: Metric) -> str:
    """Import path of the module that defines `metric`."""
    return _index()[metric.name]


def columns() -> dict[str, Column]:
    """Column name -> Column over every metric."""
    return {column.name: column for metric in every() for column in metric.columns}
