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
Failures: too_short, silence, not_finite. Windows have one length, so batches equal single runs. On a CUDA device only
where onnxruntime has its CUDA provider, else on the CPU. Version 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, Column, Metric, Signal
from bench.metrics._common import Wave, check, check_rate, check_sha256, package_file
from bench.metrics._spectra import magnitudes, mel_bank
from bench.metrics.networks import Network
from bench.metrics.shapes import of_wave

RATE_HZ = 16_000
WINDOW = 144_160
WINDOW_S = 9.01
MIN_S = 0.1
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
    return float(P808.of(wave)["score"])  # type: ignore[arg-type]


def p835(wave: NDArray[Any]) -> Analysis:
    """SIG, BAK and OVRL of `wave` [T] at 16 kHz, by column name. Raises MetricFailure."""
    return P835.of(wave)


def _log_mel(window: Wave) -> Wave:
    """Log-mel features [900, 120] of one window less its last 160 samples, 0 at 40 dB below its maximum."""
    power = np.square(magnitudes(window[:-160], 321, 160, pad="constant"))
    mel = power @ mel_bank(RATE_HZ, 321, 120).astype(np.float32).T
    decibels = 10.0 * np.log10(np.maximum(mel, 1e-10) / max(float(mel.max()), 1e-10))
    return ((np.maximum(decibels, -80.0) + 40.0) / 40.0).astype(np.float32)


def of_windows(
    folder: str,
    file: str,
    sha256: str,
    result: Callable[[Any], Analysis],
    features: Callable[[Wave], Wave] = lambda window: window,
    cpu_rows: int | None = 1,
) -> Network:
    """A network of the package speechmos that hears every window by itself. features: window [144160] -> its input."""

    def path() -> Path:
        return package_file("speechmos", folder, file)

    def load(device: str) -> Any:
        from bench.metrics.networks import onnx

        return onnx.session(check_sha256(path(), sha256), device)

    def read(signal: Signal) -> Sequence[Wave]:
        return [features(window) for window in windows(check_rate(signal, RATE_HZ).wave)]

    def run(session: Any, batch: Any) -> Any:
        from bench.metrics.networks import onnx

        return onnx.run(session, batch)

    def place(device: str) -> str:
        from bench.metrics.networks import onnx

        return onnx.place(device)

    return Network(
        name=f"{folder}/{file}",
        load=load,
        read=read,
        run=run,
        result=result,
        weights=lambda: [path()],
        row_s=lambda length: WINDOW_S,
        bytes_per_s=30e6,
        cpu_rows=cpu_rows,
        place=place,
        host=True,
    )


def by_polynomials(polynomials: Mapping[str, Sequence[float]]) -> Callable[[Any], Analysis]:
    """The mean over windows of each raw output [W, 3] mapped by its polynomial, by column name."""

    def result(values: Any) -> Analysis:
        columns = values.numpy().astype(np.float64).T
        return {name: float(np.polyval(c, x).mean()) for (name, c), x in zip(polynomials.items(), columns, strict=True)}

    return result


def p835_metric(name: str, prefix: str, title: str, network: Network) -> Metric:
    """The metric of a network that gives OVRL, SIG and BAK."""
    columns = tuple(
        Column(f"{prefix}_{part.lower()}", f"{title} {part}", "", "higher", 1.0, 5.0, margin=0.02)
        for part in ("OVRL", "SIG", "BAK")
    )
    return of_wave(name, columns, network, packages=PACKAGES)


PACKAGES = ("speechmos", "onnxruntime")

# All windows of a signal at once, which costs P.808 little memory; P.835 gains nothing from batches on a CPU.
P808 = of_windows(
    "dnsmos_models",
    "model_v8.onnx",
    "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
    lambda values: {"score": float(np.mean(values.numpy()))},
    _log_mel,
    cpu_rows=None,
)
P835 = of_windows(
    "dnsmos_models",
    "sig_bak_ovr.onnx",
    "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    by_polynomials(POLYNOMIALS),
)

METRICS = (
    of_wave(
        "dnsmos_p808",
        (Column("dnsmos_p808", "DNSMOS P.808", "", "higher", 1.0, 5.0, margin=0.02),),
        P808,
        packages=PACKAGES,
    ),
    p835_metric("dnsmos_p835", "dnsmos", "DNSMOS", P835),
)
