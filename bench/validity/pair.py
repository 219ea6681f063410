"""Facts of a pair of signals: delay, level, polarity, length, and whether it is a pair at all.

Scores can look fine on a broken evaluation: PESQ aligns a delay away, STOI trimmed to the shorter file forgives a
missing fifth, MOS predictors never see the reference. These facts are cheap and know nothing of quality. The level
envelope is what makes them hold for codecs that do not keep the waveform: decoded speech follows its original's
envelope with a correlation above 0.9 even from parametric and generative codecs, other sentences stay under 0.65.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench import audio

Floats = NDArray[np.float64]

HOP_S = 0.005  # of the level envelope
MAX_DELAY_S = 0.5
ACTIVE_DB = 40.0  # frames within this of the loudest count as speech, as in STOI
LOST_DB = 35.0  # a frame this far below the reference's, after the overall level, is lost
TAIL_DB = 30.0  # what is this far below the whole is no speech
NOTHING_DBFS = -200.0  # a number, so that silence is counted by tables that count infinities as failures
SILENT_ORIGINAL_DBFS = -80.0
FEWEST_FRAMES = 8  # 40 ms: the envelope of less says nothing
FLAT_DB = 1.0  # a tone or steady noise has no envelope to follow; speech spreads over 10 dB and more
PAIRED_ENVELOPE = 0.65  # other sentences, even of the same speaker, stay below
TRUSTED_CORRELATION = 0.3  # below, the waveform says nothing about delay
# Below, nothing about polarity: AMR-NB turns phases so much that its best lag is as often a half wave away (0.5 to 0.85).
SURE_SIGN = 0.9
RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def pair_facts(ref: ArrayLike, deg: ArrayLike, rate: float) -> dict[str, float]:
    """Facts of a decoded signal against its original, both mono [T], at `rate` Hz.

    delay_ms      lag of deg behind ref, from the waveforms, or from their level envelopes where the waveforms do not
                  correlate (parametric and generative codecs); within +-500 ms
    gain_db       level of deg over level of ref, over the whole of the shorter, in dB
    polarity      +1 or -1; NaN where the waveforms do not correlate by 0.9
    length_diff   samples of deg minus samples of ref
    correlation   peak normalised waveform correlation, 0..1
    envelope      correlation of the level envelopes (dB, 5 ms) at the best lag, -1..1
    lost_share    share of the original's speech during which deg is silent, 0..1
    lost_tail_s   seconds of the original's speech after deg has fallen silent for good
    zero_tail_s   seconds of exact zeros at the end of deg, up to the reference's end, where the reference speaks
    deg_dbfs      RMS level of deg in dB of full scale; -200 for digital silence
    rate_ratio    playing speed of deg that fits the reference best when it does not fit at 1 (1.5: 24 kHz read as 16),
                  else 1

    A constant offset (see `bench.audio.offset`) is taken from either signal first: it is no level, and two offsets would
    correlate. What cannot be known is NaN: everything about an original below -80 dBFS, where 16 bit samples hold no
    speech, and the envelope of less than 40 ms or of an original of constant level. A delay of a sample, a gain and a sign
    are recovered exactly from a copy. Cost: under 3 ms per second of audio.
    """
    r = audio.without_offset(np.asarray(ref, dtype=np.float32).ravel(), rate)
    d = np.nan_to_num(np.asarray(deg, dtype=np.float32).ravel(), nan=0.0, posinf=0.0, neginf=0.0)
    d = audio.without_offset(d, rate)
    nan = float("nan")
    facts = dict.fromkeys(
        ("delay_ms", "gain_db", "polarity", "correlation", "envelope", "lost_share", "lost_tail_s", "zero_tail_s"), nan
    )
    facts |= {"length_diff": float(len(d) - len(r)), "deg_dbfs": _dbfs(d), "rate_ratio": 1.0}
    if _dbfs(r) < SILENT_ORIGINAL_DBFS:
        return facts
    hop = max(1, round(HOP_S * rate))
    env_r, env_d = _envelope(r, hop), _envelope(d, hop)
    active = env_r > env_r.max() - ACTIVE_DB
    if facts["deg_dbfs"] == NOTHING_DBFS:
        facts |= {
            "gain_db": NOTHING_DBFS - _dbfs(r),
            "correlation": 0.0,
            "envelope": 0.0,
            "lost_share": 1.0,
            "lost_tail_s": float(active.sum() * hop / rate),
            "zero_tail_s": len(r) / rate,
        }
        return facts
    shorter = min(len(r), len(d))
    facts["gain_db"] = _dbfs(d[:shorter]) - _dbfs(r[:shorter])
    lag, peak, sign = _waveform_lag(r, d, int(MAX_DELAY_S * rate))
    env_lag, env_peak = _envelope_lag(env_r, env_d, int(MAX_DELAY_S / HOP_S))
    facts["correlation"] = peak
    if peak >= TRUSTED_CORRELATION:
        facts["delay_ms"] = 1000 * lag / rate
        facts["polarity"] = sign if peak >= SURE_SIGN else nan
        frames = round(lag / hop)
    else:
        facts["delay_ms"] = 1000 * env_lag * hop / rate if env_peak >= PAIRED_ENVELOPE else nan
        frames = round(env_lag)
    facts["envelope"] = env_peak
    facts["lost_share"], facts["lost_tail_s"] = _lost(env_r, env_d, active, frames, hop / rate)
    facts["zero_tail_s"] = _zero_tail(r, d) / rate
    if env_peak < 0.8 and peak < TRUSTED_CORRELATION:
        facts["rate_ratio"] = _rate_ratio(env_r, env_d, env_peak)
    return facts


def _dbfs(x: NDArray[np.float32]) -> float:
    power = float(np.sum(x * x, dtype=np.float64)) / len(x) if len(x) else 0.0
    return max(10 * float(np.log10(power)), NOTHING_DBFS) if power > 0 else NOTHING_DBFS


def _envelope(x: NDArray[np.float32], hop: int) -> Floats:
    """Level in dB of 4-hop windows, one per hop [frames]; digital silence is set 80 dB under the loudest."""
    count = -(-len(x) // hop)
    padded = np.zeros(count * hop, dtype=np.float32)
    padded[: len(x)] = x
    power = np.einsum("fh,fh->f", *(2 * (padded.reshape(count, hop),))).astype(np.float64) / hop
    smooth = np.convolve(np.pad(power, (1, 2), mode="edge"), np.full(4, 0.25), mode="valid") if count else power
    floor = smooth.max() * 1e-8 if count and smooth.max() > 0 else 1e-20
    return 10 * np.log10(np.maximum(smooth, floor))


def _waveform_lag(r: NDArray[np.float32], d: NDArray[np.float32], reach: int) -> tuple[int, float, float]:
    """Lag in samples, normalised peak 0..1, and sign of the peak."""
    from scipy import fft

    limit = 1 << 18  # 16 s at 16 kHz say all there is to say about a constant lag
    r, d = r[:limit], d[:limit]
    size = fft.next_fast_len(max(len(r), len(d)) + reach, real=True)
    cross = fft.irfft(fft.rfft(d, size) * np.conj(fft.rfft(r, size)), size)
    window = np.concatenate([cross[-reach:], cross[: reach + 1]])
    best = int(np.argmax(np.abs(window)))
    energy = float(np.sqrt(np.sum(r * r, dtype=np.float64) * np.sum(d * d, dtype=np.float64)))
    peak = float(window[best])
    return best - reach, min(1.0, abs(peak) / energy) if energy else 0.0, 1.0 if peak >= 0 else -1.0


def _envelope_lag(r: Floats, d: Floats, reach: int) -> tuple[float, float]:
    """Lag in frames (interpolated) and correlation of two envelopes at the best lag; NaN where r has no envelope."""
    shorter = min(len(r), len(d))
    reach = min(reach, shorter // 3)
    a, b = _clipped(r)[:shorter], _clipped(d)[:shorter]
    if shorter < FEWEST_FRAMES or a.std() < FLAT_DB:
        return 0.0, float("nan")
    if np.ptp(b) == 0:
        return 0.0, 0.0
    values = _coefficients(a, b, reach)
    best = int(np.argmax(values))
    shift = 0.0
    if 0 < best < len(values) - 1:
        left, mid, right = values[best - 1 : best + 2]
        bend = left - 2 * mid + right
        shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return best - reach + shift, float(values[best])


def _clipped(envelope: Floats) -> Floats:
    # what codecs do 40 dB under speech (noise gates, comfort noise) is no sign of a wrong pair
    return np.maximum(envelope, envelope.max() - ACTIVE_DB) if len(envelope) else envelope


def _coefficients(a: Floats, b: Floats, reach: int) -> Floats:
    """Pearson correlation of a and b [n] over their overlap at each lag -reach..reach, [2 reach + 1]."""
    from scipy import fft

    n = len(a)
    a, b = a - a.mean(), b - b.mean()
    size = fft.next_fast_len(n + reach, real=True)
    cross = fft.irfft(fft.rfft(b, size) * np.conj(fft.rfft(a, size)), size)
    cross = np.concatenate([cross[size - reach :], cross[: reach + 1]])
    lags = np.arange(-reach, reach + 1)
    first, last, count = np.maximum(0, -lags), n - np.maximum(0, lags), n - np.abs(lags)

    def moments(x: Floats, start: NDArray[np.intp], stop: NDArray[np.intp]) -> tuple[Floats, Floats]:
        once, twice = np.cumsum(np.r_[0.0, x]), np.cumsum(np.r_[0.0, x * x])
        mean = (once[stop] - once[start]) / count
        return mean, np.maximum(twice[stop] - twice[start] - count * mean**2, 0.0)

    mean_a, power_a = moments(a, first, last)
    mean_b, power_b = moments(b, first + lags, last + lags)
    norm = np.sqrt(power_a * power_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norm > 1e-9, (cross - count * mean_a * mean_b) / norm, 0.0)


def _lost(r: Floats, d: Floats, active: NDArray[np.bool_], lag: int, hop_s: float) -> tuple[float, float]:
    """Share of the original's speech that is silent in d, and seconds of it after d has ended."""
    at = np.arange(len(r)) + lag
    there = (at >= 0) & (at < len(d))
    aligned = np.full(len(r), -np.inf)
    aligned[there] = d[at[there]]
    heard = active & np.isfinite(aligned)
    level = float(np.median(aligned[heard] - r[heard])) if heard.any() else 0.0
    lost = active & (aligned < r + level - LOST_DB)
    alive = np.flatnonzero(active & ~lost)
    tail = lost[alive[-1] + 1 :] if len(alive) else lost
    return float(lost.sum() / max(active.sum(), 1)), float(tail.sum() * hop_s)


def _zero_tail(r: NDArray[np.float32], d: NDArray[np.float32]) -> int:
    """Samples after the last non-zero one of d, if the reference says something there."""
    last = int(np.flatnonzero(d)[-1]) + 1
    rest = r[last:]
    # a coarse quantiser turns the room after the last word into zeros, too: only speech counts
    return len(rest) if len(rest) and _dbfs(rest) > _dbfs(r) - TAIL_DB else 0


def _rate_ratio(r: Floats, d: Floats, at_one: float) -> float:
    """Speed ratio of d, among ratios of common sample rates, whose envelope fits clearly better than at 1."""
    best, ratio = max(at_one + 0.1, 0.8), 1.0
    for candidate in sorted({a / b for a in RATES_HZ for b in RATES_HZ if a != b and 1 / 3.1 < a / b < 3.1}):
        position = np.arange(int(min(len(r) * candidate, len(d)) / candidate)) * candidate
        if len(position) < 40:
            continue
        fitted = np.interp(position, np.arange(len(d)), d)
        _, value = _envelope_lag(r[: len(fitted)], fitted, 6)
        if value > best:
            best, ratio = value, candidate
    return ratio
