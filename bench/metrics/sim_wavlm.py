"""Speaker similarity with WavLM base SV: "Sim" of the FocalCodec paper.

Definition. x-vector [512] of microsoft/wavlm-base-sv (WavLM base with a time-delay head, fine-tuned for verification on
VoxCeleb1) from the raw wave, without the extractor's normalisation; waves under 4880 samples are extended by their last
sample; the score is the cosine of two x-vectors.
Reference: FocalCodec (2025), section 4 and its public evaluation code; Chen et al., "WavLM", IEEE JSTSP 2022. The "plus"
and "large" models and ECAPA have other scales and are not this column.
Range: -1 to 1 in theory; about 0.7 between speakers, 0.93 and more within; higher is better (tables show percent).
Rate: 16 kHz. Level: not invariant. Length: lengths may differ. Signals are embedded one length at a time, without padding:
the authors pad a pair to one length with a mask, which moves the last digits only. Under 5200 samples the spread over
time, which the x-vector contains, does not exist. Failures: too_short, silence, not_finite, empty.
Without weights: WeightsMissing. Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.fetch import sources
from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import Wave, analysis_of, by_length, check, check_rate, checked_batch, one_thread, value

RATE_HZ = 16_000
MIN_SAMPLES = 4_880
SOURCE = sources.for_metric(
    name="wavlm-base-sv",
    files=("config.json", "pytorch_model.bin"),
    repo="microsoft/wavlm-base-sv",
)


def embed(waves: Sequence[NDArray[Any]], network: Any) -> NDArray[np.float32]:
    """x-vectors [B, 512] of waves [T] each at 16 kHz, in batches of one length."""
    import torch

    long = [np.pad(wave, (0, max(0, MIN_SAMPLES - wave.size)), mode="edge") for wave in waves]
    out: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(long)
    with torch.inference_mode(), one_thread():
        for members in by_length(long, limit=8):
            found = network(torch.from_numpy(np.stack([long[i] for i in members]))).embeddings.numpy()
            for index, vector in zip(members, found, strict=True):
                out[index] = vector
    return np.stack(out)


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Cosine of two vectors [D]."""
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def load(folder: str) -> Any:
    """The network from a folder in the hub's layout (config.json and weights)."""
    from transformers import WavLMForXVector

    return WavLMForXVector.from_pretrained(folder, local_files_only=True).eval()


@cache
def _network() -> Any:
    return load(str(sources.locate(SOURCE).folder))


def _checked(signal: Signal) -> Wave:
    return check(check_rate(signal, RATE_HZ).wave, rate_hz=RATE_HZ)


def _analyse(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    network = _network()
    out, places, waves = checked_batch(signals, _checked)
    if waves:
        for place, vector in zip(places, embed(waves, network), strict=True):
            finite = bool(np.isfinite(vector).all())
            out[place] = {"embedding": vector} if finite else MetricFailure("too_short", "needs 5200 samples (0.33 s)")
    return out


def _score(ref: Signal, deg: Signal) -> dict[str, Value]:
    def compute() -> float:
        return cosine(*(np.asarray(analysis_of(signal, _analyse)["embedding"]) for signal in (ref, deg)))

    return {"sim": value(compute)}


METRIC = Metric(
    name="sim_wavlm",
    columns=(Column("sim", "Sim (WavLM-SV)", "%", "higher", -1.0, 1.0, 0.002, 1, 100.0),),
    score=_score,
    analyse=_analyse,
    weights=lambda: sources.locate(SOURCE).paths,
    packages=("transformers", "torch"),
)
