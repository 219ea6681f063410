"""VNSIM: the similarity of spectrograms under ViSQOL's opinion score, before any mapping to one.

Definition: neurogram similarity (NSIM) of aligned gammatone patches, averaged over bands and patches, of ViSQOL v3's
speech mode. It keeps telling systems apart where the mapped score is at its ceiling, or on speech unlike that which the
map was fitted to.
Reference: Hines et al., "ViSQOL: an objective speech quality model", 2015; package visqol-python 3.8.0.
Range: 0 to 1, higher is better. Rate: 16 kHz. Level: matched to the reference. Length: lengths may differ; at least
0.5 s. Failures: too_short, silence, tool, not_finite. Version 1.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bench.metrics import Column
from bench.metrics.shapes import of_pair
from bench.metrics.visqol import measure

RATE_HZ = 16_000


def vnsim(ref: NDArray[Any], deg: NDArray[Any]) -> float:
    """VNSIM of `deg` [T'] against `ref` [T], both at 16 kHz. Raises MetricFailure."""
    return float(measure(ref, deg, "speech", RATE_HZ).vnsim)


METRIC = of_pair(
    "vnsim",
    (Column("vnsim", "VNSIM", "", "higher", 0.0, 1.0, decimals=3),),
    vnsim,
    packages=("visqol-python", "ai-edge-litert"),
)
