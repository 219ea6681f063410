"""Speaker similarity with Resemblyzer: SECS of the FreeCodec paper.

Definition. Every signal is raised to -30 dBFS if it is softer, non-speech is cut (WebRTC detector, mode 3, 30 ms;
flags averaged over 8 frames, rounded, dilated by 3 frames on both sides), 40 mel powers (25 ms Hann, 10 ms hop,
Slaney bands to 8 kHz, no logarithm) go in partial utterances of 1.6 s every 0.77 s through a 3-layer LSTM; the
embedding is the mean of the partial embeddings, of unit length. The score is the cosine of two embeddings.
Reference: Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018; package resemblyzer 0.1.4
with its weights (Apache-2.0); FreeCodec (2024), section 4 (SECS).
Range: 0 to 1 (embeddings are non-negative; unrelated speakers score about 0.55), higher is better. Rate: 16 kHz.
Level: NOT invariant (half the amplitude costs 0.04 to 0.07): levels are taken as they are, as the paper's tool does.
Length: lengths may differ; after cutting non-speech 0.1 s must remain. Failures: no_speech, silence, too_short.
Partial utterances have one length, so batches equal single runs. Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, Column, MetricFailure, Signal, _voice
from bench.metrics._common import Wave, check, check_rate, check_sha256, package_file
from bench.metrics._spectra import magnitudes, mel_bank
from bench.metrics.networks import Network
from bench.metrics.shapes import of_embedding

RATE_HZ = 16_000
LEVEL_DBFS = -30.0
PARTIAL = 160
STEP = 77
HOP = 160
MIN_COVERAGE = 0.75
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"


def embed(wave: NDArray[Any]) -> Wave:
    """Unit-length speaker embedding [256] of `wave` [T] at 16 kHz. Raises MetricFailure."""
    return np.asarray(NETWORK.of(wave)["embedding"])


def inner_product(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Cosine of two embeddings [256], which have unit length."""
    return float(np.dot(a, b))


def preprocess(wave: NDArray[Any]) -> Wave:
    """Level raised to -30 dBFS and non-speech cut: wave [T] -> speech [T']. Raises MetricFailure."""
    wave = check(wave, rate_hz=RATE_HZ, min_s=0.1)
    rms = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
    wave = wave * np.float32(max(1.0, 10.0 ** (LEVEL_DBFS / 20.0) / rms))
    wave = wave[: wave.size // _voice.FRAME * _voice.FRAME]
    # Loud transients of a raised signal wrap around in the original's cast; clipping is the same for |x| <= 1.
    pcm = np.round(np.clip(wave, -1.0, 1.0) * 32767.0).astype(np.int16)
    speech = _voice.keep(wave, _smooth(_voice.flags(pcm, mode=3)))
    if speech.size < 0.1 * RATE_HZ:
        raise MetricFailure("no_speech", f"{speech.size / RATE_HZ:.2f} s of speech found, needs 0.1 s")
    return speech


def _smooth(speech: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mean over 8 frames (3 before, 4 after), rounded half to even, then 3 frames of hangover on both sides."""
    average = np.convolve(np.pad(speech.astype(np.float64), (3, 4)), np.ones(8), "valid") / 8.0
    kept = np.round(average) > 0
    return np.convolve(np.pad(kept.astype(int), 3), np.ones(7, int), "valid") > 0


def partial_starts(samples: int) -> list[int]:
    """First mel frames of the partial utterances of a speech of `samples` samples."""
    frames = -(-(samples + 1) // HOP)
    starts = list(range(0, max(1, frames - PARTIAL + STEP + 1), STEP))
    covered = (samples - starts[-1] * HOP) / (PARTIAL * HOP)
    return starts[:-1] if covered < MIN_COVERAGE and len(starts) > 1 else starts


def partials(speech: NDArray[Any]) -> Wave:
    """Mel powers [P, 160, 40] of the partial utterances of preprocessed speech [T]."""
    speech = np.asarray(speech, np.float32)
    starts = partial_starts(speech.size)
    padded = np.pad(speech, (0, max(0, (starts[-1] + PARTIAL) * HOP - speech.size)))
    power = np.square(magnitudes(padded, 400, HOP, pad="constant"))
    mel = power @ mel_bank(RATE_HZ, 400, 40).astype(np.float32).T
    return np.stack([mel[start : start + PARTIAL] for start in starts])


def _path() -> Path:
    return package_file("resemblyzer", "pretrained.pt")


def _load(device: str) -> Any:
    from bench.metrics.networks.resemblyzer import from_file

    return from_file(check_sha256(_path(), SHA256)).to(device)


def _read(signal: Signal) -> Sequence[Wave]:
    return list(partials(preprocess(check_rate(signal, RATE_HZ).wave)))


def mean_embedding(vectors: Any) -> Analysis:
    """The mean of embeddings of partial utterances, a tensor [P, 256], at unit length."""
    mean = vectors.mean(dim=0).numpy()
    return {"embedding": mean / np.linalg.norm(mean)}


NETWORK = Network(
    name="resemblyzer",
    load=_load,
    read=_read,
    run=lambda network, batch: network(batch.rows),
    result=mean_embedding,
    weights=lambda: [_path()],
    row_s=lambda frames: PARTIAL * HOP / RATE_HZ,
    bytes_per_s=1e6,
    cpu_rows=None,
)

METRIC = of_embedding(
    "sim_resemblyzer",
    Column("sim_resemblyzer", "Sim (Resemblyzer)", "%", "higher", 0.0, 1.0, 0.002, 1, 100.0),
    NETWORK,
    inner_product,
    packages=("resemblyzer", "webrtcvad-wheels", "torch"),
)
