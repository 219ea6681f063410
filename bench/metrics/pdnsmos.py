"""Personalised DNSMOS P.835: as DNSMOS P.835, by a network that hears other talkers as background.

Definition. Windows and clipping as in `dnsmos`; the personalised network gives three raw numbers a window, each mapped
by its own published polynomial to SIG, BAK and OVRL; the score is the mean over windows.
Reference: Microsoft's DNS Challenge 2022 (arXiv 2202.13288, section 4); weights of the package speechmos 0.0.1.1 (MIT).
Range: 1 to 5 nominal, higher is better. Rate: 16 kHz. Level: not invariant. Length: any from 0.1 s.
Failures: too_short, silence, not_finite. Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import analysis_of, check_rate, check_sha256, each, onnx_session, package_file
from bench.metrics.dnsmos import RATE_HZ, windows

SHA256 = "9e3a197449ca2177f0997afec3bd6b890117ce2f17b89d6eea7fa0d47272c81c"
POLYNOMIALS = {
    "pdnsmos_sig": (-0.01019296, 0.02751166, 1.19576786, -0.24348726),
    "pdnsmos_bak": (-0.04976499, 0.44276479, -0.1644611, 0.96883132),
    "pdnsmos_ovrl": (-0.00533021, 0.005101, 1.18058466, -0.11236046),
}
"""Raw output to score, highest power first, in the order of the network's outputs."""


def pdnsmos(wave: NDArray[Any]) -> dict[str, float]:
    """SIG, BAK and OVRL of `wave` [T] at 16 kHz, by column name. Raises MetricFailure."""
    raw = np.concatenate([_session().run(None, {"input_1": window[None]})[0] for window in windows(wave)])
    columns = raw.astype(np.float64).T
    return {name: float(np.polyval(c, x).mean()) for (name, c), x in zip(POLYNOMIALS.items(), columns, strict=True)}


def _file() -> Path:
    return package_file("speechmos", "pdnsmos_models", "sig_bak_ovr.onnx")


@cache
def _session() -> Any:
    return onnx_session(check_sha256(_file(), SHA256))


def _analyse(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    return each(signals, lambda signal: dict(pdnsmos(check_rate(signal, RATE_HZ).wave)))


def _score(ref: Signal, deg: Signal) -> dict[str, Value]:
    try:
        found = analysis_of(deg, _analyse)
    except MetricFailure as failure:
        return dict.fromkeys(POLYNOMIALS, failure)
    return {name: float(found[name]) for name in POLYNOMIALS}


METRIC = Metric(
    name="pdnsmos",
    columns=(
        Column("pdnsmos_ovrl", "pDNSMOS OVRL", "", "higher", 1.0, 5.0, margin=0.02),
        Column("pdnsmos_sig", "pDNSMOS SIG", "", "higher", 1.0, 5.0, margin=0.02),
        Column("pdnsmos_bak", "pDNSMOS BAK", "", "higher", 1.0, 5.0, margin=0.02),
    ),
    score=_score,
    analyse=_analyse,
    packages=("speechmos", "onnxruntime"),
    weights=lambda: [_file()],
    one_sided=True,
)
