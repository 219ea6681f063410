"""The shapes that metrics have. A metric's own module states its definition and its arithmetic; what a shape has in common
with others of its kind (rates, failures in every column, cached analyses, batches) stands here, once.

of_pair: two waves -> numbers. of_wave: the degraded wave alone -> numbers, by a network. of_analyses: each wave ->
an analysis that is cached; two analyses -> numbers. of_embedding, of_track, of_texts: of_analyses, where an analysis is a
vector that stands for a speaker, a pitch track, or a transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.languages import WITHOUT_SPACES, primary
from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import Analyse, analysis_of, check_rate, each, value
from bench.metrics._text import CHARACTERS, ENGLISH, char_errors, normalise, word_errors
from bench.metrics._tracks import Track, both_voiced

if TYPE_CHECKING:
    from bench.metrics.networks import Network

RATE_HZ = 16_000
Found = float | Mapping[str, Value]
"""What a comparison gives: the number of the only column, or a value for each column by name."""


def of_pair(
    name: str, columns: tuple[Column, ...], compare: Callable[[NDArray[Any], NDArray[Any]], Found], **fields: Any
) -> Metric:
    """A metric of two waves. compare: (reference [T], degraded [T']) at 16 kHz -> what was found; raises MetricFailure."""

    def score(ref: Signal, deg: Signal) -> dict[str, Value]:
        return _by_column(columns, lambda: compare(*(check_rate(signal, RATE_HZ).wave for signal in (ref, deg))))

    return Metric(name, columns, score, rate_hz=RATE_HZ, **fields)


def of_wave(name: str, columns: tuple[Column, ...], network: Network, **fields: Any) -> Metric:
    """A predictor that hears the degraded wave only. The network's analysis holds `score`, or a number for each column."""

    def score(ref: Signal, deg: Signal) -> dict[str, Value]:
        def found() -> Found:
            numbers = analysis_of(deg, analyse)
            return float(numbers["score"]) if len(columns) == 1 else {c.name: float(numbers[c.name]) for c in columns}

        return _by_column(columns, found)

    metric = Metric(name, columns, score, rate_hz=RATE_HZ, network=network, one_sided=True, **fields)
    analyse = _analyse_of(metric)
    return metric


def of_analyses(
    name: str,
    columns: tuple[Column, ...],
    compare: Callable[[Mapping[str, Any], Mapping[str, Any]], Found],
    *,
    analyse: Callable[[NDArray[Any]], Analysis] | None = None,
    network: Network | None = None,
    **fields: Any,
) -> Metric:
    """A metric of two analyses, each of one wave and cached: by a network, or by `analyse` (wave [T] at 16 kHz -> analysis,
    raises MetricFailure). compare: (reference's, degraded's) -> what was found; raises MetricFailure."""

    def score(ref: Signal, deg: Signal) -> dict[str, Value]:
        return _by_column(columns, lambda: compare(*(analysis_of(signal, of_signals) for signal in (ref, deg))))

    every = None if analyse is None else analyser(analyse)
    metric = Metric(name, columns, score, analyse=every, rate_hz=RATE_HZ, network=network, **fields)
    of_signals = _analyse_of(metric)
    return metric


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Cosine of two vectors [D]."""
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def of_embedding(
    name: str,
    column: Column,
    network: Network,
    similarity: Callable[[NDArray[Any], NDArray[Any]], float] = cosine,
    **fields: Any,
) -> Metric:
    """A similarity of speakers. The network's analysis holds `embedding` [D]."""

    def compare(ref: Mapping[str, Any], deg: Mapping[str, Any]) -> float:
        return similarity(np.asarray(ref["embedding"]), np.asarray(deg["embedding"]))

    return of_analyses(name, (column,), compare, network=network, **fields)


def of_track(name: str, label: str, extract: Callable[[NDArray[Any]], Track], *, field: str = "track", **fields: Any) -> Metric:
    """The metric f0_NAME: errors over frames voiced in both waves. extract: wave [T] at 16 kHz -> F0 in Hz per frame [N],
    0 where unvoiced; tracks are cut to the shorter one. field: what the cached analysis calls the track."""
    columns = (
        Column(f"f0_pcc_{name}", f"F0-PCC ({label})", "", "higher", -1.0, 1.0, decimals=3),
        Column(f"f0_rmse_{name}", f"F0-RMSE ({label})", "Hz", "lower", 0.0, None, decimals=1),
        Column(f"vuv_error_{name}", f"V/UV error ({label})", "%", "lower", 0.0, 1.0, decimals=1, scale=100.0),
    )

    def compare(ref: Mapping[str, Any], deg: Mapping[str, Any]) -> dict[str, Value]:
        found = both_voiced(np.asarray(ref[field]), np.asarray(deg[field]))
        return {f"f0_pcc_{name}": found["pcc"], f"f0_rmse_{name}": found["rmse"], f"vuv_error_{name}": found["vuv"]}

    return of_analyses(f"f0_{name}", columns, compare, analyse=lambda wave: {field: extract(wave)}, **fields)


def of_texts(
    name: str,
    differential: Sequence[Column],
    true: Sequence[Column] = (),
    *,
    rules: str = ENGLISH,
    analyse: Analyse | None = None,
    network: Network | None = None,
    **fields: Any,
) -> Metric:
    """Error rates of a recogniser, by a network or by `analyse`, whose analysis holds `transcript`. Of each pair of columns
    the first counts words, the second characters. differential: the degraded wave's transcript against that of the
    reference wave. true: against the text that was spoken; where that holds no word, there is no score (`no_text`).
    rules: of `normalise`; in languages without spaces both columns count characters."""

    def normal(text: str, signal: Signal) -> str:
        return normalise(text, CHARACTERS if primary(signal.language) in WITHOUT_SPACES else rules)

    def heard(signal: Signal) -> str:
        return normal(str(analysis_of(signal, every)["transcript"]), signal)

    def spoken(signal: Signal) -> str:
        if signal.text is None:
            raise MetricFailure("no_text", "the data set gives no transcript")
        if not (text := normal(signal.text, signal)):
            raise MetricFailure("no_text", "the transcript holds no word")
        return text

    def score(ref: Signal, deg: Signal) -> dict[str, Value]:
        return {
            column.name: value(lambda count=count, expected=expected: count(expected(ref), heard(deg)))  # type: ignore[misc]
            for columns, expected in ((differential, heard), (true, spoken))
            for column, count in zip(columns, (word_errors, char_errors))
        }

    columns = (*differential, *true)
    metric = Metric(
        name, columns, score, analyse=analyse, rate_hz=RATE_HZ, network=network, needs_text=bool(true), **fields
    )  # fmt: skip
    every = _analyse_of(metric)
    return metric


def analyser(analyse: Callable[[NDArray[Any]], Analysis]) -> Analyse:
    """`analyse` (wave [T] at 16 kHz -> analysis, raises MetricFailure) over signals, failures kept in place."""

    def every(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
        return each(signals, lambda signal: analyse(check_rate(signal, RATE_HZ).wave))

    return every


def _analyse_of(metric: Metric) -> Analyse:
    assert metric.analyse is not None
    return metric.analyse


def _by_column(columns: tuple[Column, ...], compute: Callable[[], Found]) -> dict[str, Value]:
    """A value for every column: what `compute` found, or the failure that it raised."""
    try:
        found = compute()
    except MetricFailure as failure:
        return {column.name: failure for column in columns}
    values = found if isinstance(found, Mapping) else {columns[0].name: found}
    return {column.name: value(lambda name=column.name: values[name]) for column in columns}  # type: ignore[misc]
