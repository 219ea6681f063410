"""A record: what is kept of one made wave, as FLAC and facts. What a wave was made with is its producer's to add.

Under "facts" a producer tells what it measured itself: column -> the fields of a row (value, num, den, detail).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from bench import audio
from bench.metrics import MetricFailure
from bench.store import dumps, loads

Record = Mapping[str, Any]
Keep = Literal["audio", "codes", "scores"]
KEEP: tuple[Keep, ...] = ("audio", "codes", "scores")
"""What the store keeps of coded speech: everything (54 kB an utterance), the codes (some 0.5 kB), or facts alone."""
_DROPPED: Mapping[str, frozenset[str]] = {
    "audio": frozenset(), "codes": frozenset({"decoded"}), "scores": frozenset({"decoded", "codes"}),
}  # fmt: skip


def audio_record(fitted: np.ndarray, rate_hz: int, surplus: int = 0) -> dict[str, Any]:
    """What is kept of audio [T]: FLAC and facts. `surplus`: samples beyond what was due (negative: short)."""
    finite = bool(np.isfinite(fitted).all())
    return {
        "decoded": audio.to_flac(np.nan_to_num(fitted), rate_hz),
        "wave_sha256": audio.sha256(fitted, rate_hz),
        "finite": finite,
        "rate_hz": rate_hz,
        "seconds": len(fitted) / rate_hz,
        "short_ms": 1000.0 * min(0, surplus) / rate_hz,
        "clipped": float(np.mean(np.abs(fitted) > 1.0)) if finite else 0.0,
    }


def decoded_wave(record: Record, rate_hz: int, length: int | None) -> np.ndarray:
    """The decoded wave of a record at `rate_hz`, exactly `length` samples (None: its own length). Raises MetricFailure
    when it was not finite."""
    if not record["finite"]:
        raise MetricFailure("not_finite", "the codec's output holds NaN or infinite samples")
    wave, rate = audio.from_flac(record["decoded"])
    wave = audio.resample(wave, rate, rate_hz)
    return wave if length is None else np.pad(wave[:length], (0, max(0, length - len(wave))))


def kept(data: bytes, keep: Keep) -> bytes:
    """A stored record less what `keep` leaves out."""
    if keep == "audio":
        return data
    return dumps({name: value for name, value in loads(data).items() if name not in _DROPPED[keep]})


def has_audio(record: Record) -> bool:
    """Whether the decoded wave itself was kept."""
    return "decoded" in record
