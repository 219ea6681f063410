"""What rooms, noise and narrow channels do to a wave: poor input in tests of robustness, varied input in training.

Every function takes the wave, float32 [T], and gives one as long. What is drawn comes from the generator handed in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import audio

Wave = NDArray[np.float32]
Random = np.random.Generator


def reverberation(wave: Wave, rate_hz: int, rt60_s: float, random: Random) -> Wave:
    """In a room: the direct sound, and from 5 ms on noise that falls by 60 dB in `rt60_s` seconds, as strong in all."""
    time = np.arange(round(rt60_s * rate_hz)) / rate_hz
    tail = random.normal(size=len(time)) * 10 ** (-3 * time / rt60_s) * (time >= 0.005)
    response = tail / np.sqrt(np.sum(tail**2))
    response[0] = 1.0
    size = 1 << (len(wave) + len(response)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response, size), size)[: len(wave)]
    return _as_loud(wet, wave)


def low_level(wave: Wave, rate_hz: int, decibels: float, random: Random) -> Wave:
    """Quieter by so many decibels."""
    return np.asarray(wave * 10 ** (-decibels / 20), np.float32)


def clipping(wave: Wave, rate_hz: int, decibels: float, random: Random) -> Wave:
    """Cut at so many decibels below its peak."""
    most = float(np.abs(wave).max()) * 10 ** (-decibels / 20)
    return np.clip(wave, -most, most)


def narrow_band(wave: Wave, rate_hz: int, to_hz: float, random: Random) -> Wave:
    """As recorded at `to_hz`."""
    if to_hz >= rate_hz:
        return wave
    narrow = audio.resample(audio.resample(wave, rate_hz, int(to_hz)), int(to_hz), rate_hz)
    return np.pad(narrow[: len(wave)], (0, max(0, len(wave) - len(narrow))))


def _as_loud(wave: NDArray[Any], as_this: Wave) -> Wave:
    """`wave` at the level of `as_this`, less where its peaks would be cut."""
    power = float(np.sum(np.square(wave)))
    gain = np.sqrt(float(np.sum(np.square(as_this, dtype=np.float64))) / power) if power > 0 else 1.0
    return np.asarray(wave * min(gain, 1.0 / max(1e-9, float(np.abs(wave).max()))), np.float32)


def add_noise(wave: Wave, snr_db: float, random: Random) -> Wave:
    """Add Gaussian noise of a random colour (white to brown) at a signal-to-noise ratio in dB."""
    spectrum = np.fft.rfft(random.standard_normal(len(wave)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 8) ** float(random.uniform(0.0, 1.0))
    noise = np.fft.irfft(spectrum, len(wave))
    return mix(wave, noise, snr_db)


def mix(wave: Wave, noise: NDArray[Any], snr_db: float) -> Wave:
    """Add `noise` [T] at a signal-to-noise ratio in dB; a silent one of the two leaves `wave` as it is."""
    power, noise_power = float(np.mean(wave**2)), float(np.mean(noise**2))
    if power <= 0 or noise_power <= 0:
        return wave
    return (wave + noise * np.sqrt(power / noise_power / 10.0 ** (snr_db / 10.0))).astype(np.float32)
