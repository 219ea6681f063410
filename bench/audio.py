"""Reading, writing, resampling and levels: the only place that knows how.

One resampler serves the whole bench: soxr at its very-high-quality setting ("VHQ"), named in every row.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.errors import BadAudio

DEFINITION = "audio"
VERSION = "1"
PACKAGES = ("soxr", "soundfile")
RESAMPLER = "soxr-VHQ"
INTEGER_PEAK = 8.0
"""Largest sample that can still be meant as a float: beyond 18 dB over full scale the samples are integers' values."""
OFFSET_SHARE = 0.1
"""A mean beyond this share of the RMS around it is a constant offset: it hides the pauses of speech."""
OFFSET_LEAST = 1e-4
"""Smaller ones, below -80 dB of full scale, are rounding."""
OFFSET_LEAST_S = 0.1
"""Shorter clips hold too few periods of speech for their mean to say anything."""


@dataclass(frozen=True)
class Recording:
    """A file as it was read: mono float32 [T] within full scale, and what was done to make it so.

    channels: of the file. peak: largest absolute sample before scaling; 1 is full scale.
    """

    wave: np.ndarray
    rate_hz: int
    channels: int
    peak: float


def load(path: Path | str, channel: int | None = None, *, scale: bool = True) -> Recording:
    """Read a file as mono. channel: which one, from 0 (None: all are averaged; a mono file has one for all).

    With `scale`, samples beyond full scale are divided by `full_scale` of their peak, as no codec takes them. Raises
    BadAudio.
    """
    import soundfile

    path = Path(path)
    try:
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise BadAudio(f"{shown(path)}: cannot be opened ({error})") from error
    if not there:
        folder = os.path.isdir(path)
        raise BadAudio(f"{shown(path)}: " + ("is a folder that cannot be read as audio" if folder else "no such audio file"))
    try:
        # As bytes: a name need not be UTF-8.
        wave, rate = soundfile.read(os.fsencode(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        reason = str(error).rpartition(": ")[2]
        raise BadAudio(f"{shown(path)}: cannot be read as audio ({reason}); convert it to WAV or FLAC") from error
    channels = wave.shape[1]
    if channel is not None and channels > 1 and channel >= channels:
        raise BadAudio(f"{shown(path)}: has {channels} channels, no channel {channel + 1}")
    if channels == 1:
        mono = wave[:, 0]
    else:
        mono = wave.mean(axis=1) if channel is None else wave[:, channel]
    if mono.size == 0:
        raise BadAudio(f"{shown(path)}: holds no samples")
    if not np.isfinite(mono).all():
        raise BadAudio(f"{shown(path)}: holds NaN or infinite samples")
    peak = float(np.abs(mono).max())
    if scale and peak > 1.0:
        mono = mono / np.float32(full_scale(peak))
    return Recording(np.ascontiguousarray(mono, np.float32), int(rate), channels, peak)


def read(path: Path | str, channel: int | None = None, *, scale: bool = True) -> tuple[np.ndarray, int]:
    """The wave of `load`, float32 [T], and its rate in Hz. Raises BadAudio."""
    recording = load(path, channel, scale=scale)
    return recording.wave, recording.rate_hz


class Header(NamedTuple):
    """What a file says of its audio; the defaults stand for a file that cannot be read. integers: whether its samples are
    integers, which full scale bounds."""

    channels: int = 0
    integers: bool = True
    rate_hz: int = 0
    seconds: float = 0.0


def header(path: Path | str) -> Header:
    """The header of a file, without its samples. Never raises: what cannot be read is told where it is read."""
    import soundfile

    if not os.path.isfile(path):  # a pipe would never end
        return Header()
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            integers = file.subtype.startswith(("PCM", "ALAW", "ULAW"))
            return Header(int(file.channels), integers, int(file.samplerate), file.frames / file.samplerate)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError):
        return Header()


def full_scale(peak: float) -> float:
    """What samples with this peak are divided by to lie within full scale.

    1 for ordinary samples; the peak itself for floats that are too loud; 2^15, 2^23 or 2^31 for floats that hold the values
    of integers, so that they equal the same file read as integers.
    """
    if peak <= 1.0:
        return 1.0
    if peak <= INTEGER_PEAK:
        return peak
    return next((2.0**bits for bits in (15, 23, 31) if peak <= 2.0**bits), peak)


def shown(path: Path | str) -> str:
    """A path as text that can be printed and stored, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


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


def offset(wave: np.ndarray, rate_hz: float) -> float:
    """The constant offset of `wave` [T]: its mean, or 0 where the mean is no more than speech has by itself."""
    if len(wave) < OFFSET_LEAST_S * rate_hz:
        return 0.0
    mean = float(np.mean(wave, dtype=np.float64))
    power = float(np.mean(np.square(wave, dtype=np.float64)))
    around = max(power - mean**2, 0.0)
    return mean if abs(mean) > OFFSET_LEAST and mean**2 > OFFSET_SHARE**2 * around else 0.0


def without_offset(wave: np.ndarray, rate_hz: float) -> np.ndarray:
    """`wave` less its constant offset; the very same samples where it has none."""
    constant = offset(wave, rate_hz)
    return (wave - np.float32(constant)).astype(np.float32) if constant else wave


def sha256(wave: np.ndarray, rate_hz: int) -> str:
    """Identity of a signal: hash of its float32 samples and rate."""
    return hashlib.sha256(np.ascontiguousarray(wave, "<f4").tobytes() + str(rate_hz).encode()).hexdigest()
