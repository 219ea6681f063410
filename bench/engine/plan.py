"""What is to be run: lines of a table on a data set, compared with what, by which metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench import device, metrics
from bench.engine import executors, producers
from bench.engine.machine import cores
from bench.engine.pairing import ZEROS
from bench.engine.producers import Producer
from bench.engine.records import Keep
from bench.engine.systems import System
from bench.metrics import Metric
from bench.speech import Dataset
from bench.stats.labels import called

ALWAYS: tuple[str, ...] = ("pair",)
"""Metrics of every run unless a task says otherwise: delay, gain, polarity and length of each pair."""
ORIGINAL = ""
"""The recording that scores refer to unless a comparison names another: the clean original."""


@dataclass(frozen=True)
class Line:
    """One line of a table: a system, and the producer that makes its waves.

    variant: how the system is used, where a task uses it in several ways: "500 ms chunks", "random loss 5 %".
    """

    system: System
    producer: Producer
    variant: str = ""

    @property
    def name(self) -> str:
        """What the line is called, its weights apart."""
        return called(self.system.name, self.producer.role, self.variant)


@dataclass(frozen=True)
class Comparison:
    """One output of a producer against one recording of the utterance ("": the original), by some columns."""

    columns: tuple[str, ...]
    against: str = ORIGINAL
    output: str = ""
    always: tuple[str, ...] = ()

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The distinct metrics that yield the columns."""
        return tuple(metrics.find_all([*self.columns, *self.always]))


@dataclass(frozen=True)
class Plan:
    """A run. `columns` are what the table shows; the metrics that yield them are what is computed.

    lines: the table's lines, where they are not simply each system with its usual producer. comparisons: where a wave is
    not simply compared with the original. two_lanes: coding and networks apart from CPU metrics (None: on a
    device that is no CPU).
    keep: what the store keeps of coded speech. executor: where jobs run. command: the words that ask for this run.
    window: utterances that are planned at a time.
    """

    task: str
    systems: tuple[System, ...]
    dataset: Dataset
    columns: tuple[str, ...]
    profile: str = "embedded"
    device: str = "cpu"
    always: tuple[str, ...] = ALWAYS
    length: str = ZEROS
    workers: int = field(default_factory=cores)
    lines: tuple[Line, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    two_lanes: bool | None = None
    keep: Keep = "audio"
    window: int = executors.WINDOW
    executor: str = executors.DEFAULT
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.lines:
            usual = tuple(Line(system, producers.usual(system)) for system in self.systems)
            object.__setattr__(self, "lines", usual)
        if not self.comparisons:
            object.__setattr__(self, "comparisons", (Comparison(self.columns, always=self.always),))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The distinct metrics of all comparisons."""
        return tuple({metric.name: metric for some in self.comparisons for metric in some.metrics}.values())

    @property
    def lanes(self) -> bool:
        """Whether what has a network runs apart from what has none."""
        return not device.is_cpu(self.device) if self.two_lanes is None else self.two_lanes

    @property
    def networks_on(self) -> str:
        """The device that metrics with a network run on."""
        return self.device if self.lanes else "cpu"

    def compared(self, line: Line) -> Sequence[Comparison]:
        """The comparisons whose output `line` makes."""
        return [some for some in self.comparisons if some.output in line.producer.outputs]
