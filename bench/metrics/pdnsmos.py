"""Personalised DNSMOS P.835: as DNSMOS P.835, by a network that hears other talkers as background.

Definition. Windows and clipping as in `dnsmos`; the personalised network gives three raw numbers a window, each mapped
by its own published polynomial to SIG, BAK and OVRL; the score is the mean over windows.
Reference: Microsoft's DNS Challenge 2022 (arXiv 2202.13288, section 4); weights of the package speechmos 0.0.1.1 (MIT).
Range: 1 to 5 nominal, higher is better. Rate: 16 kHz. Level: not invariant. Length: any from 0.1 s.
Failures: too_short, silence, not_finite. On a CUDA device only where onnxruntime has its CUDA provider. Version 1.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bench.metrics import Analysis
from bench.metrics.dnsmos import by_polynomials, of_windows, p835_metric

POLYNOMIALS = {
    "pdnsmos_sig": (-0.01019296, 0.02751166, 1.19576786, -0.24348726),
    "pdnsmos_bak": (-0.04976499, 0.44276479, -0.1644611, 0.96883132),
    "pdnsmos_ovrl": (-0.00533021, 0.005101, 1.18058466, -0.11236046),
}
"""Raw output to score, highest power first, in the order of the network's outputs."""


def pdnsmos(wave: NDArray[Any]) -> Analysis:
    """SIG, BAK and OVRL of `wave` [T] at 16 kHz, by column name. Raises MetricFailure."""
    return NETWORK.of(wave)


NETWORK = of_windows(
    "pdnsmos_models",
    "sig_bak_ovr.onnx",
    "9e3a197449ca2177f0997afec3bd6b890117ce2f17b89d6eea7fa0d47272c81c",
    by_polynomials(POLYNOMIALS),
)

METRIC = p835_metric("pdnsmos", "pdnsmos", "pDNSMOS", NETWORK)
