"""The bench from Python: `bench.load_codec`, `bench.score`, `bench.evaluate`. docs/python.md has examples that tests run.

Failures are typed: what the user must mend raises a BenchError, and a score that does not exist is a MetricFailure in its
place, never a number.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import adapters, metrics, plugins
from bench.audio import resample
from bench.coding.codec import Codec, check_wave
from bench.columns import every_column
from bench.engine import scoring, systems
from bench.errors import BadAudio, BenchError
from bench.metrics import MetricFailure, Signal
from bench.tasks import cards, columns, options

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("pesq_wb", "stoi", "estoi")
"""What `score` computes unless it is told otherwise: needs no network and no transcript."""


def load_codec(name: str, *, weights: str | None = None, device: str = "cpu", plugins: Sequence[Path | str] = ()) -> Codec:
    """The codec of an operating point, ready for `encode` and `decode`: `focalcodec@50`, `opus@6`, `hf:user/name`.

    weights: official, nano, random or a path; None means nano where they ship, else official. plugins: folders with cards of
    your own. Raises UnknownName, WeightsMissing, NoDevice, BadCard.
    """
    _plugins(plugins)
    chosen = systems.system(name, want=weights, device=options.device(device))
    return adapters.load(chosen.point, chosen.weights, chosen.device)


def score(
    reference: np.ndarray, decoded: np.ndarray, rate_hz: int, metrics: Sequence[str] = METRICS, *,
    decoded_rate_hz: int | None = None, text: str | None = None, language: str = "en", device: str = "cpu",
) -> dict[str, float | MetricFailure]:  # fmt: skip
    """Scores of one decoded wave against its original: column -> number, or the MetricFailure that stands for it.

    reference, decoded: mono float samples [T] within [-1, 1] at `rate_hz` (decoded: at `decoded_rate_hz`, where it differs).
    Both are resampled to each metric's own rate by soxr at its VHQ setting. A decoded wave that is too short is filled with
    zeros and one that is too long is cut. metrics: columns as `bench list metrics` names them. text: what is said, for word
    errors. Raises UnknownName for a metric, BadAudio for a wave, WeightsMissing.
    """
    whole = {"reference": (check_wave(reference, "reference"), rate_hz),
             "decoded": (check_wave(decoded, "decoded"), decoded_rate_hz or rate_hz)}  # fmt: skip
    for name, (_, rate) in whole.items():
        if isinstance(rate, bool) or int(rate) != rate or rate < 1000:
            raise BadAudio(f"{name}: the rate is a whole number of Hz, at least 1000, not {rate!r}")
    found: dict[str, Any] = {}
    wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    for metric in _find_all(wanted):
        original, made = (resample(wave, int(rate), metric.rate_hz) for wave, rate in whole.values())
        made = np.pad(made[: len(original)], (0, max(0, len(original) - len(made))))
        signals = [Signal(wave, metric.rate_hz, text, language) for wave in (original, made)]
        failed: MetricFailure | None = None
        if metric.analyse is not None:
            for signal, analysis in zip(signals, scoring.analyse(metric, signals, device), strict=True):
                if isinstance(analysis, MetricFailure):
                    failed = failed or analysis
                else:
                    signal.analysis = analysis
        if failed is None:
            found |= {name: _number(value) for name, value in scoring.score(metric, *signals).items()}
        else:
            found |= dict.fromkeys((column.name for column in metric.columns), failed)
    named = [name for one in wanted for name in _columns_of(one)]
    return {name: found[name] for name in dict.fromkeys(named)}


def evaluate(
    codecs: str | Sequence[str], data: str | Sequence[str] = "embedded", *, task: str = "resynthesis",
    metrics: Sequence[str] = (), profile: str = "embedded", weights: str | None = None, device: str = "auto",
    limit: int | None = None, workers: int = 1, store: Path | str | None = None, results: Path | str | None = None,
    plugins: Sequence[Path | str] = (),
) -> Result:  # fmt: skip
    """Run a task on `data` and give its table: what `bench run` does, with the same names, store and files.

    codecs, data: one name or several, as on the command line. What is found in the store is not computed again. Messages of
    the run go to standard error. Raises BenchError.
    """
    _plugins(plugins)
    chosen = [codecs] if isinstance(codecs, str) else list(codecs)
    spoken = [data] if isinstance(data, str) else list(data)
    words = ["--task", task, "--codec", ",".join(map(_word, chosen)), "--data", ",".join(map(_word, spoken)),
             "--profile", profile, "--device", device, "--workers", str(workers), "--quiet"]  # fmt: skip
    for flag, value in (("weights", weights), ("limit", limit), ("store", store), ("results", results),
                        ("metrics", ",".join(metrics))):  # fmt: skip
        words += [f"--{flag}", str(value)] if value not in (None, "") else []
    wanted = options.options(options.parser().parse_args(words))
    with contextlib.redirect_stdout(sys.stderr), _script_apart():
        outcome = cards.module(task).run(wanted)
    return Result(tuple(outcome.folders), tuple(chosen))


@dataclass(frozen=True)
class Result:
    """Tables that a run wrote. folders: where they lie. codecs: those that were asked for."""

    folders: tuple[Path, ...]
    codecs: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row per utterance, system and column (`bench.results.schema.SCHEMA` tells the fields); stale rows are left out.

        A table may hold systems of earlier runs on the same speech too; only the codecs that were asked for are here.
        """
        from bench.results import merge
        from bench.results.schema import joined

        whole = joined([merge.read(folder)[0] for folder in self.folders])
        named = {system.name for system in systems.systems(self.codecs)} if _plain(self.codecs) else set()
        return whole[whole["codec"].astype(str).isin(named)].reset_index(drop=True) if named else whole

    def table(self, format: str = "text") -> str:
        """The leaderboard: text, csv, json, latex, html or markdown."""
        from bench.results import export

        return export.leaderboard(self.rows, columns.shown(self.rows), format)

    def compare(self, a: str, b: str) -> pd.DataFrame:
        """Paired difference B - A for each column, with interval and verdict: fields of `bench.report.compare.Line`."""
        from bench.report import compare
        from bench.results.schema import split

        return compare.compare(split(self.rows)[0], a, b, every_column())


def _plugins(places: Sequence[Path | str]) -> None:
    if places:
        plugins.use([places] if isinstance(places, str | Path) else places)


@contextlib.contextmanager
def _script_apart() -> Iterator[None]:
    """Worker processes do not run the caller's script again: nothing of it is needed there."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


def _word(name: str) -> str:
    """A name as the command line takes it: commas and spaces in it are escaped."""
    return name.replace(",", r"\,").replace(" ", r"\ ")


def _plain(codecs: Sequence[str]) -> bool:
    return bool(codecs) and not any(name == "all" or ":" in name for name in codecs)


def _find_all(wanted: Sequence[str]) -> list[metrics.Metric]:
    if not wanted:
        raise BenchError("score: name at least one metric; `bench list metrics` tells them")
    return metrics.find_all(wanted)


def _columns_of(name: str) -> list[str]:
    """A column by its name; of a metric's name, all of its columns."""
    metric = metrics.find(name)
    every = [column.name for column in metric.columns]
    return [name] if name in every else every


def _number(value: Mapping[str, str] | Sequence[float] | float) -> float | MetricFailure:
    if isinstance(value, Mapping):
        return MetricFailure(value["failure"], value["detail"])
    if isinstance(value, Sequence):
        num, den = value
        return num / den if den else MetricFailure("empty", "the reference has nothing to count errors by")
    return float(value)
