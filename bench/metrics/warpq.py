"""WARP-Q in its three published parameter sets, for generative codecs that keep the sound but not the waveform.

Definition. Non-speech is cut from both signals (WebRTC detector, mode 0, 30 ms frames, flags dilated by one frame); mel
cepstra (DFT 1024 over a 512-sample Hann window, hop 64 = 4 ms, 128 Slaney bands to 5 kHz, dB floored 80 below the
maximum, orthonormal DCT); mean, then variance normalisation in a sliding window of 201 frames; the degraded signal is cut
into patches of about 0.4 s; each patch is warped onto its best place in the whole reference by subsequence dynamic time
warping with Euclidean cost; a patch scores the end cost over its number of frames. The score is the median over patches,
rounded to 3 decimals.
| column | cepstra | steps (patch, reference) | patch / hop | source |
| warpq | 13 | (1,0) (0,3) (1,3) | 100 / 50 | IET Signal Processing 2022, the authors' WARPQmetric |
| warpq_152 | 13 | (1,0) (0,3) (1,3) | 92 / 42 | package warpq 1.5.2 (2024) |
| warpq_icassp | 12 | (1,1) (3,2) (1,3) | 100 / 50 | ICASSP 2021 demonstration script; another scale |
Reference: Jassim et al., "WARP-Q: Quality Prediction for Generative Neural Speech Codecs", ICASSP 2021; "Speech quality
assessment with WARP-Q", IET Signal Processing 2022. FreeCodec (2024) prints raw scores and does not say which set; `warpq`
(IET 2022) is the likelier. Equal to the package to 1e-3 on 16 kHz files.
Range: 0 upwards, typically 1.5 to 2.8 (0.6 to 1.1 for warpq_icassp); LOWER is better; identity is not 0 for the first two,
whose steps exclude the diagonal. Rate: 16 kHz.
Level: the detector makes it slightly level dependent; samples are clipped to [-1, 1]. Length: lengths may differ; aligns
by itself. Failures: no_speech (under 0.4 s of speech on either side), silence, not_finite.
Version 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, Column, Metric, MetricFailure, _voice
from bench.metrics._common import Wave, check
from bench.metrics._spectra import dct_rows, hann, mel_bank
from bench.metrics.networks import inference
from bench.metrics.shapes import of_analyses

RATE_HZ = 16_000
DFT, WINDOW, HOP = 1024, 512, 64
BANDS, HIGHEST_HZ = 128, 5_000.0
CEPSTRA = 13
SLIDING = 201
BLOCK = 64
MIN_SPEECH_S = 0.4


@dataclass(frozen=True)
class Variant:
    """One published parameter set; patch and hop in frames of 4 ms."""

    column: str
    cepstra: int
    patch: int
    hop: int
    diagonal: bool
    """True: steps (1,1) (3,2) (1,3); False: (1,0) (0,3) (1,3)."""


IET2022 = Variant("warpq", 13, 100, 50, diagonal=False)
PACKAGE152 = Variant("warpq_152", 13, 92, 42, diagonal=False)
ICASSP2021 = Variant("warpq_icassp", 12, 100, 50, diagonal=True)
VARIANTS = (IET2022, PACKAGE152, ICASSP2021)


def warpq(ref: NDArray[Any], deg: NDArray[Any], variant: Variant = IET2022) -> float:
    """Raw WARP-Q of `deg` [T'] against `ref` [T], both at 16 kHz. Raises MetricFailure."""
    return score(cepstra(ref), cepstra(deg), variant)


def speech(wave: NDArray[Any]) -> Wave:
    """The parts of `wave` [T] that the detector and its neighbours call speech. Raises MetricFailure."""
    wave = np.clip(check(wave, rate_hz=RATE_HZ), -1.0, 1.0)
    pcm = np.clip(np.trunc(wave * np.float32(32768.0)), -32768, 32767).astype(np.int16)
    # The package always appends one frame more than needed, partly or wholly of zeros.
    padded = np.pad(pcm, (0, (wave.size // _voice.FRAME + 1) * _voice.FRAME - wave.size))
    flags = _voice.flags(padded, mode=0)
    kept = _voice.keep(wave, np.convolve(flags, np.ones(3, int), "same") > 0)
    if kept.size < MIN_SPEECH_S * RATE_HZ:
        raise MetricFailure("no_speech", f"{kept.size / RATE_HZ:.2f} s of speech found, needs {MIN_SPEECH_S} s")
    return kept


def cepstra(wave: NDArray[Any]) -> Wave:
    """Normalised mel cepstra [13, N] of the speech in `wave` [T] at 16 kHz. Raises MetricFailure."""
    return normalise(mfcc(speech(wave)))


def mfcc(wave: NDArray[Any]) -> Wave:
    """Mel cepstra [N, 13] of `wave` [T], c0 first; no liftering, which distances of normalised rows do not see."""
    import torch

    from bench.metrics._warpq_loops import mel_powers

    # A window centred in a longer DFT only turns phases: transforming its own samples gives the same power.
    cut = torch.from_numpy(np.pad(np.asarray(wave, np.float32), WINDOW // 2)).unfold(0, WINDOW, HOP)
    bank, first, last, rows, window = _constants()
    block, spectrum = _workspace()
    mel = np.empty((len(cut), BANDS), np.float32)
    with inference():
        for start in range(0, len(cut), BLOCK):
            size = min(BLOCK, len(cut) - start)
            torch.mul(cut[start : start + size], window, out=block[:size, :WINDOW])
            torch.fft.rfft(block, out=spectrum)
            pairs = torch.view_as_real(spectrum[:size]).numpy()
            mel_powers(pairs, bank, first, last, mel[start : start + size])
        decibels = torch.from_numpy(mel).clamp_(min=1e-10).log10_().mul_(10.0)
        return (decibels.clamp_(min=float(decibels.max()) - 80.0) @ rows).numpy()


@cache
def _constants() -> tuple[Wave, NDArray[Any], NDArray[Any], Any, Any]:
    """Mel filters [BANDS, bins below 5 kHz] with first and past-the-last bin of each [BANDS], and the torch tensors
    DCT [BANDS, CEPSTRA] and window [WINDOW]."""
    import torch

    bins = int(HIGHEST_HZ * DFT / RATE_HZ) + 1
    bank = np.ascontiguousarray(mel_bank(RATE_HZ, DFT, BANDS, 0.0, HIGHEST_HZ)[:, :bins], np.float32)
    first = np.argmax(bank > 0, axis=1)
    last = np.where(bank.any(axis=1), bins - np.argmax(bank[:, ::-1] > 0, axis=1), first)
    rows = torch.from_numpy(np.ascontiguousarray(dct_rows(CEPSTRA, BANDS).T, np.float32))
    return bank, first, last, rows, torch.from_numpy(hann(WINDOW).astype(np.float32))


@cache
def _workspace() -> tuple[Any, Any]:
    """Frames [BLOCK, DFT] (zero beyond WINDOW) and their spectrum, kept: fresh pages would cost as much as the DFT."""
    import torch

    return torch.zeros(BLOCK, DFT), torch.empty(BLOCK, DFT // 2 + 1, dtype=torch.complex64)


def normalise(features: NDArray[Any]) -> Wave:
    """Sliding mean, then variance normalisation over 201 frames with mirrored ends: [N, D] -> float32 [D, N]."""
    centred = features - _sliding_mean(features.astype(np.float64))
    spread = _sliding_mean(centred**2) - _sliding_mean(centred) ** 2
    return np.ascontiguousarray((centred / (np.sqrt(np.maximum(spread, 0.0)) + 2.0**-30)).T, np.float32)


def _sliding_mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(x, ((SLIDING // 2 + 1, SLIDING // 2), (0, 0)), mode="symmetric")
    # The first row only starts the differences of cumulative sums; a zero keeps them exact.
    padded[0] = 0.0
    total = np.cumsum(padded, axis=0)
    return (total[SLIDING:] - total[:-SLIDING]) / SLIDING


def patch_costs(ref: Wave, deg: Wave, variant: Variant = IET2022) -> NDArray[np.float32]:
    """Warping cost of every patch of `deg` [D, M] against `ref` [D, N], float32 [P]. Raises MetricFailure."""
    if min(ref.shape[1], deg.shape[1]) < variant.patch:
        raise MetricFailure("too_short", f"fewer than {variant.patch} frames of speech")
    compute = _kernels()[variant.diagonal]
    return compute(ref[: variant.cepstra], np.ascontiguousarray(deg[: variant.cepstra].T), variant.patch, variant.hop)


def score(ref: Wave, deg: Wave, variant: Variant = IET2022) -> float:
    """Median patch cost of normalised cepstra `deg` [13, M] against `ref` [13, N]. Raises MetricFailure."""
    return round(float(np.median(patch_costs(ref, deg, variant))), 3)


@cache
def _kernels() -> dict[bool, Callable[..., NDArray[np.float32]]]:
    """The two warping loops by `Variant.diagonal`, compiled once (and cached on disk by numba)."""
    from bench.metrics import _warpq_loops

    return {False: _warpq_loops.skipping, True: _warpq_loops.diagonal}


def _analyse(wave: NDArray[Any]) -> Analysis:
    return {"cepstra": cepstra(wave)}


def _metric(variant: Variant, title: str) -> Metric:
    def compare(ref: Mapping[str, Any], deg: Mapping[str, Any]) -> float:
        sides = [np.asarray(side["cepstra"], np.float32) for side in (ref, deg)]
        return score(sides[0], sides[1], variant)

    return of_analyses(
        variant.column,
        (Column(variant.column, title, "", "lower", 0.0, None, margin=0.02),),
        compare,
        analyse=_analyse,
        packages=("webrtcvad-wheels", "numba", "torch"),
    )


METRICS = (
    _metric(IET2022, "WARP-Q"),
    _metric(PACKAGE152, "WARP-Q (1.5.2)"),
    _metric(ICASSP2021, "WARP-Q (ICASSP 2021)"),
)
