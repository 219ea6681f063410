"""F0 metrics that differ in nothing but the extractor: errors over frames voiced in both signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import analysis_of, check_rate, each
from bench.metrics.f0 import RATE_HZ, Track, both_voiced

HOP = 80
"""Samples from frame to frame: 5 ms."""


def of_extractor(name: str, label: str, extract: Callable[[NDArray[Any]], Track], packages: tuple[str, ...]) -> Metric:
    """The metric f0_NAME. extract: wave [T] at 16 kHz -> F0 in Hz per frame [N], 0 where unvoiced; tracks are cut to the
    shorter one."""

    def analyse(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
        return each(signals, lambda signal: {"track": extract(check_rate(signal, RATE_HZ).wave)})

    def score(ref: Signal, deg: Signal) -> dict[str, Value]:
        try:
            found = both_voiced(*(analysis_of(signal, analyse)["track"] for signal in (ref, deg)))
        except MetricFailure as failure:
            return dict.fromkeys((column.name for column in columns), failure)
        return {f"f0_pcc_{name}": found["pcc"], f"f0_rmse_{name}": found["rmse"], f"vuv_error_{name}": found["vuv"]}

    columns = (
        Column(f"f0_pcc_{name}", f"F0-PCC ({label})", "", "higher", -1.0, 1.0, decimals=3),
        Column(f"f0_rmse_{name}", f"F0-RMSE ({label})", "Hz", "lower", 0.0, None, decimals=1),
        Column(f"vuv_error_{name}", f"V/UV error ({label})", "%", "lower", 0.0, 1.0, decimals=1, scale=100.0),
    )
    return Metric(name=f"f0_{name}", columns=columns, score=score, analyse=analyse, packages=packages)
