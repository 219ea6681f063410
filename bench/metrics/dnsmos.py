"""DNSMOS P.808 and P.835: no-reference predictors of opinion scores for noise suppression.

Definition. The wave (clipped to [-1, 1]; a shorter one is doubled until long enough) is cut into windows of 9.01 s
every 1 s; the score is the mean over windows. P.808: one network on the log-mel spectrogram (DFT 321, hop 160, 120
Slaney mels, dB relative to the window's maximum, (dB + 40) / 40) of the window less its last 160 samples. P.835: a
network on the raw window gives three numbers, each mapped by the published polynomial to SIG (speech), BAK
(background), OVRL (overall).
Reference: Reddy et al., "DNSMOS", ICASSP 2021 (P.808); "DNSMOS P.835", ICASSP 2022; weights of the package speechmos
0.0.1.1 (MIT), the same bytes as the authors' repository. The two are different metrics: the FocalCodec paper's
"DNSMOS" is P.808.
Range: 1 to 5 nominal, higher is better. Rate: 16 kHz. Level: not invariant (0.05 to 0.15 for 6 dB in BAK and OVRL).
Length: any; the doubling makes very short clips meaningless, so under 0.1 s is a failure.
Failures: too_short, silence, not_finite. Windows of several signals may be batched: the scores are the same.
Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import (
    Wave,
    analysis_of,
    check,
    check_rate,
    check_sha256,
    each,
    onnx_session,
    package_file,
    value,
)
from bench.metrics._spectra import magnitudes, mel_bank

RATE_HZ = 16_000
WINDOW = 144_160
WINDOW_S = 9.01
MIN_S = 0.1
SHA256 = {
    "model_v8.onnx": "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
    "sig_bak_ovr.onnx": "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
}
POLYNOMIALS = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""Raw output to score, highest power first, in the order of the network's outputs."""


def windows(wave: NDArray[Any]) -> Wave:
    """wave [T] at 16 kHz -> windows [W, 144160]. Raises MetricFailure."""
    wave = np.clip(check(wave, rate_hz=RATE_HZ, min_s=MIN_S), -1.0, 1.0)
    while wave.size < WINDOW:
        wave = np.concatenate([wave, wave])
    count = int(wave.size // RATE_HZ - WINDOW_S) + 1
    # The published code computes window ends in seconds; those that rounding robs of a sample are skipped.
    kept = [i for i in range(count) if int((i + WINDOW_S) * RATE_HZ) - i * RATE_HZ >= WINDOW]
    return np.stack([wave[i * RATE_HZ : i * RATE_HZ + WINDOW] for i in kept])


def p808(wave: NDArray[Any]) -> float:
    """DNSMOS P.808 of `wave` [T] at 16 kHz. Raises MetricFailure."""
    features = np.stack([_log_mel(window[:-160]) for window in windows(wave)])
    return float(np.mean(_session("model_v8.onnx").run(None, {"input_1": features})[0]))


def p835(wave: NDArray[Any]) -> dict[str, float]:
    """SIG, BAK and OVRL of `wave` [T] at 16 kHz, by column name. Raises MetricFailure."""
    session = _session("sig_bak_ovr.onnx")
    # One window at a time: this network gains nothing from batches on a CPU and they cost memory.
    raw = np.concatenate([session.run(None, {"input_1": window[None]})[0] for window in windows(wave)])
    columns = raw.astype(np.float64).T
    return {name: float(np.polyval(c, x).mean()) for (name, c), x in zip(POLYNOMIALS.items(), columns, strict=True)}


def _file(name: str) -> Path:
    return package_file("speechmos", "dnsmos_models", name)


@cache
def _session(file: str) -> Any:
    return onnx_session(check_sha256(_file(file), SHA256[file]))


def _log_mel(window: Wave) -> Wave:
    """Log-mel features [900, 120] of one window, 0 at 40 dB below its maximum."""
    power = np.square(magnitudes(window, 321, 160, pad="constant"))
    mel = power @ mel_bank(RATE_HZ, 321, 120).astype(np.float32).T
    decibels = 10.0 * np.log10(np.maximum(mel, 1e-10) / max(float(mel.max()), 1e-10))
    return ((np.maximum(decibels, -80.0) + 40.0) / 40.0).astype(np.float32)


def _analyse_p808(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    return each(signals, lambda signal: {"score": p808(check_rate(signal, RATE_HZ).wave)})


def _analyse_p835(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    return each(signals, lambda signal: dict(p835(check_rate(signal, RATE_HZ).wave)))


def _score_p808(ref: Signal, deg: Signal) -> dict[str, Value]:
    return {"dnsmos_p808": value(lambda: float(analysis_of(deg, _analyse_p808)["score"]))}


def _score_p835(ref: Signal, deg: Signal) -> dict[str, Value]:
    try:
        found = analysis_of(deg, _analyse_p835)
    except MetricFailure as failure:
        return dict.fromkeys(POLYNOMIALS, failure)
    return {name: float(found[name]) for name in POLYNOMIALS}


METRICS = (
    Metric(
        name="dnsmos_p808",
        columns=(Column("dnsmos_p808", "DNSMOS P.808", "", "higher", 1.0, 5.0, margin=0.02),),
        score=_score_p808,
        analyse=_analyse_p808,
        packages=("speechmos", "onnxruntime"),
        weights=lambda: [_file("model_v8.onnx")],
        one_sided=True,
    ),
    Metric(
        name="dnsmos_p835",
        columns=(
            Column("dnsmos_ovrl", "DNSMOS OVRL", "", "higher", 1.0, 5.0, margin=0.02),
            Column("dnsmos_sig", "DNSMOS SIG", "", "higher", 1.0, 5.0, margin=0.02),
            Column("dnsmos_bak", "DNSMOS BAK", "", "higher", 1.0, 5.0, margin=0.02),
        ),
        score=_score_p835,
        analyse=_analyse_p835,
        packages=("speechmos", "onnxruntime"),
        weights=lambda: [_file("sig_bak_ovr.onnx")],
        one_sided=True,
    ),
)
