"""Pair facts: delay, gain, polarity, length and lost speech of a decoded signal against its original.

Definition: bench.validity.pair_facts, each fact a column; a fact that cannot be known (silent signal, waveforms that do
not correlate) is the failure `undefined`, never a number. Not qualities: they show whether a pair may be scored at all.
Range and unit: see each column. Rate: 16 kHz. Level and length: measured, nothing is compensated but a constant
offset. Version 2: offsets above a tenth of the RMS level are removed first, and clips under 40 ms have no envelope.
"""

from __future__ import annotations

import math

from bench.metrics import Column, Metric, MetricFailure, Signal, Value
from bench.validity import pair_facts

COLUMNS = (
    Column("delay_ms", "delay", "ms", "neither", decimals=1),
    Column("gain_db", "gain", "dB", "neither", decimals=1),
    Column("polarity", "polarity", "", "neither", -1.0, 1.0, decimals=0),
    Column("length_diff", "length difference", "samples", "neither", decimals=0),
    Column("correlation", "waveform correlation", "", "neither", 0.0, 1.0),
    Column("envelope", "envelope correlation", "", "neither", -1.0, 1.0),
    Column("lost_share", "lost speech", "share", "neither", 0.0, 1.0),
    Column("lost_tail_s", "lost tail", "s", "neither", 0.0),
    Column("zero_tail_s", "zeros at the end", "s", "neither", 0.0),
    Column("deg_dbfs", "level", "dBFS", "neither", decimals=1),
    Column("rate_ratio", "rate ratio", "", "neither"),
)


def score(ref: Signal, deg: Signal) -> dict[str, Value]:
    """Every fact of the pair at 16 kHz."""
    facts = pair_facts(ref.wave, deg.wave, ref.rate_hz)
    return {
        column.name: value if math.isfinite(value := float(facts[column.name])) else MetricFailure("undefined")
        for column in COLUMNS
    }


METRIC = Metric("pair", COLUMNS, score, version="2")
