"""Reading, writing, resampling and levels: the only place that knows how.

One resampler serves the whole bench: soxr at its very-high-quality setting ("VHQ"), named in every row.
"""

from __future__ import annotations

import hashlib
import io
from math import gcd
from pathlib import Path

import numpy as np

from bench.errors import BadAudio

DEFINITION = "audio"
VERSION = "1"
PACKAGES = ("soxr", "soundfile")
RESAMPLER = "soxr-VHQ"


def read(path: Path | str) -> tuple[np.ndarray, int]:
    """Read a file as mono float32 [T] and its rate in Hz. Channels are averaged. Raises BadAudio."""
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise BadAudio(f"{path}: no such audio file")
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BadAudio(f"{path}: cannot be read as audio ({error}); convert it to WAV or FLAC") from error
    mono = wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)
    if mono.size == 0:
        raise BadAudio(f"{path}: holds no samples")
    if not np.isfinite(mono).all():
        raise BadAudio(f"{path}: holds NaN or infinite samples")
    return np.ascontiguousarray(mono, np.float32), int(rate)


def write(path: Path | str, wave: np.ndarray, rate_hz: int) -> None:
    """Write mono PCM16 (WAV or FLAC by suffix); samples beyond full scale are clipped."""
    import soundfile

    soundfile.write(Path(path), np.clip(wave, -1.0, 1.0), rate_hz, subtype="PCM_16")


def to_flac(wave: np.ndarray, rate_hz: int) -> bytes:
    """Mono PCM16 FLAC bytes: what a listener would get."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, to_pcm16(wave), rate_hz, subtype="PCM_16", format="FLAC")
    return buffer.getvalue()


def from_flac(data: bytes) -> tuple[np.ndarray, int]:
    """Inverse of `to_flac`: float32 [T] and Hz."""
    import soundfile

    wave, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return wave, int(rate)


def to_pcm16(wave: np.ndarray) -> np.ndarray:
    """float [T] in [-1, 1] -> int16 [T], rounded, clipped at full scale."""
    return np.clip(np.round(np.asarray(wave, np.float64) * 32768.0), -32768, 32767).astype(np.int16)


def resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """float32 [T] at `from_hz` -> float32 [round(T to/from)] at `to_hz`; no delay."""
    if from_hz == to_hz:
        return np.asarray(wave, np.float32)
    import soxr

    out = soxr.resample(np.asarray(wave, np.float32), from_hz, to_hz, quality="VHQ")
    length = resampled_length(len(wave), from_hz, to_hz)
    return np.pad(out, (0, max(0, length - len(out))))[:length].astype(np.float32, copy=False)


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """Samples after resampling, at least one."""
    common = gcd(from_hz, to_hz)
    return max(1, round(samples * (to_hz // common) / (from_hz // common)))


def level_dbfs(wave: np.ndarray) -> float:
    """RMS level in dB relative to full scale; -inf for silence."""
    power = float(np.mean(np.square(wave, dtype=np.float64)))
    return 10.0 * float(np.log10(power)) if power > 0 else float("-inf")


def sha256(wave: np.ndarray, rate_hz: int) -> str:
    """Identity of a signal: hash of its float32 samples and rate."""
    return hashlib.sha256(np.ascontiguousarray(wave, "<f4").tobytes() + str(rate_hz).encode()).hexdigest()
