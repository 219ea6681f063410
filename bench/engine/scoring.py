"""Signals through a metric: analyses, scores and failures as they are stored. No store, no processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.errors import BenchError, in_words, is_interrupt
from bench.metrics import Metric, MetricFailure, Ratio, Signal


def analyse(metric: Metric, signals: Sequence[Signal], device: str = "cpu") -> list[Mapping[str, Any] | MetricFailure]:
    """`metric.analyse` over signals, of a network on `device`; one that breaks it is isolated and fails alone."""
    assert metric.analyse is not None
    try:
        on_device = metric.device and device != "cpu"
        found = list(metric.analyse_on(device, signals) if on_device else metric.analyse(signals))
        if len(found) != len(signals):
            raise ValueError(f"metric {metric.name}: {len(found)} analyses came back for {len(signals)} signals")
        return found
    except BaseException as error:
        if is_interrupt(error):
            raise
        if len(signals) == 1:
            return [_as_failure(error)]
        return [analyse(metric, [signal], device)[0] for signal in signals]


def score(metric: Metric, reference: Signal, degraded: Signal) -> dict[str, Any]:
    """Column -> number, [num, den] or {"failure", "detail"}: a storable record with a word for every column."""
    try:
        values: Mapping[str, Any] = metric.score(reference, degraded)
        return {column.name: plain(values[column.name]) for column in metric.columns}
    except BaseException as error:
        if is_interrupt(error):
            raise
        failure = plain(_as_failure(error))
    return {column.name: failure for column in metric.columns}


def plain(value: Any) -> Any:
    """A Value as JSON: float, [num, den] or a failure."""
    if isinstance(value, MetricFailure):
        return {"failure": value.kind, "detail": value.detail}
    if isinstance(value, Ratio):
        return [float(value.num), float(value.den)]
    number = float(value)
    return number if np.isfinite(number) else {"failure": "not_finite", "detail": f"the metric returned {number}"}


def _as_failure(error: BaseException) -> MetricFailure:
    if isinstance(error, MetricFailure):
        return error
    if isinstance(error, BenchError):
        raise error  # weights or packages missing: the user must act, no row is due
    return MetricFailure("error", in_words(error))
