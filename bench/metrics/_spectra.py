"""Short-time spectra and filterbanks shared by the spectral metrics, in numpy and scipy only."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@cache
def hann(length: int, padded: int | None = None) -> Array:
    """Periodic Hann window [length], centred in `padded` samples when given; float64."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
    if padded is None or padded == length:
        return window
    left = (padded - length) // 2
    return np.pad(window, (left, padded - length - left))


def frames(wave: Array, size: int, hop: int) -> Array:
    """Frames [N, size] of `wave` [T] as a view, N = 1 + (T - size) // hop."""
    return np.lib.stride_tricks.sliding_window_view(wave, size)[::hop]


def magnitudes(
    wave: Array,
    n_fft: int,
    hop: int,
    win: int | None = None,
    pad: Literal["reflect", "constant"] = "reflect",
    bins: int | None = None,
) -> Array:
    """|STFT| [N, bins] of `wave` [T], centred frames (n_fft // 2 padding at both ends), periodic Hann of `win` samples.

    The float type of `wave` is kept. `bins` keeps the lowest bins only.
    """
    from scipy.fft import rfft

    padded = np.pad(wave, n_fft // 2, mode=pad)
    window = hann(win or n_fft, n_fft).astype(wave.dtype)
    spectrum = rfft(frames(padded, n_fft, hop) * window, axis=1)[:, :bins]
    return np.abs(spectrum)


def _hz_to_mel(hz: Array, scale: str) -> Array:
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    # Slaney's Auditory Toolbox: linear below 1 kHz, logarithmic above.
    linear = 3.0 * hz / 200.0
    return np.where(hz < 1000.0, linear, 15.0 + 27.0 * np.log(np.maximum(hz, 1e-12) / 1000.0) / np.log(6.4))


def _mel_to_hz(mel: Array, scale: str) -> Array:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return np.where(mel < 15.0, 200.0 * mel / 3.0, 1000.0 * np.exp(np.log(6.4) * (mel - 15.0) / 27.0))


@cache
def mel_bank(
    rate_hz: int,
    n_fft: int,
    bands: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    scale: Literal["htk", "slaney"] = "slaney",
    area: bool = True,
) -> Array:
    """Triangular filters [bands, n_fft // 2 + 1], float64; `area` scales each to unit area in Hz (Slaney's norm)."""
    low, high = _hz_to_mel(np.array([low_hz, high_hz or rate_hz / 2.0]), scale)
    points = _mel_to_hz(np.linspace(float(low), float(high), bands + 2), scale)
    hz = np.arange(n_fft // 2 + 1) * (rate_hz / n_fft)
    rise = (hz - points[:-2, None]) / np.diff(points)[:-1, None]
    fall = (points[2:, None] - hz) / np.diff(points)[1:, None]
    bank = np.maximum(0.0, np.minimum(rise, fall))
    return bank * (2.0 / (points[2:] - points[:-2]))[:, None] if area else bank


@cache
def third_octaves(
    rate_hz: int, n_fft: int, bands: int = 15, lowest_hz: float = 150.0, edges: Literal["nearest", "inside"] = "nearest"
) -> Array:
    """0/1 matrix [bands, n_fft // 2 + 1] of the bins of third-octave bands, the first one centred at `lowest_hz`; float64.

    edges: a band reaches from the bin nearest to its lower edge to the bin before that of its upper one (Taal et al.),
    or holds the bins that lie inside its edges.
    """
    hz = np.linspace(0, rate_hz, n_fft + 1)[: n_fft // 2 + 1]
    limits = lowest_hz * 2.0 ** ((2.0 * np.arange(bands)[:, None] + np.array([-1.0, 1.0])) / 6.0)
    if edges == "inside":
        return ((hz >= limits[:, :1]) & (hz < limits[:, 1:])).astype(np.float64)
    nearest = np.argmin(np.square(hz[None, None] - limits[..., None]), axis=-1)
    index = np.arange(hz.size)
    return ((index >= nearest[:, :1]) & (index < nearest[:, 1:])).astype(np.float64)


@cache
def dct_rows(rows: int, size: int) -> Array:
    """First `rows` rows of the orthonormal DCT-II [rows, size]."""
    n = np.arange(size)
    basis = np.cos(np.pi / size * np.outer(np.arange(rows), n + 0.5)) * np.sqrt(2.0 / size)
    basis[0] /= np.sqrt(2.0)
    return basis
