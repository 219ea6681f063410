"""Speaker similarity with WavLM base SV: "Sim" of the FocalCodec paper.

Definition. x-vector [512] of microsoft/wavlm-base-sv (WavLM base with a time-delay head, fine-tuned for verification on
VoxCeleb1) from the raw wave, without the extractor's normalisation; waves under 4880 samples are extended by their last
sample; the score is the cosine of two x-vectors.
Reference: FocalCodec (2025), section 4 and its public evaluation code; Chen et al., "WavLM", IEEE JSTSP 2022. The "plus"
and "large" models and ECAPA have other scales and are not this column.
Range: -1 to 1 in theory; about 0.7 between speakers, 0.93 and more within; higher is better (tables show percent).
Rate: 16 kHz. Level: not invariant. Length: lengths may differ. In batches of mixed lengths the norm, the attention and the
statistics are masked, and a batch equals single runs to 1e-5: the authors pad a pair to one length with a mask that leaves
the norm out, which moves the last digits only. Under 5200 samples the spread over time, which the x-vector contains, does
not exist. Failures: too_short, silence, not_finite, empty. Without weights: WeightsMissing. Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.fetch import sources
from bench.metrics import Analysis, Column, MetricFailure, Signal
from bench.metrics.networks import Network, whole
from bench.metrics.shapes import of_embedding

MIN_SAMPLES = 4_880
SOURCE = sources.for_metric(
    name="wavlm-base-sv",
    files=("config.json", "pytorch_model.bin"),
    repo="microsoft/wavlm-base-sv",
)


def _load(device: str) -> Any:
    from bench.metrics.networks.wavlm import from_folder

    return from_folder(str(sources.locate(SOURCE).folder)).to(device)


def _read(signal: Signal) -> Sequence[NDArray[np.float32]]:
    return [np.pad(wave, (0, max(0, MIN_SAMPLES - wave.size)), mode="edge") for wave in whole(signal)]


def _run(network: Any, batch: Any) -> Any:
    from bench.metrics.networks.wavlm import xvectors

    return xvectors(network, batch)


def _result(vectors: Any) -> Analysis:
    [vector] = vectors.numpy()
    if not np.isfinite(vector).all():
        raise MetricFailure("too_short", "needs 5200 samples (0.33 s)")
    return {"embedding": vector}


def _random() -> Any:
    from bench.metrics.networks.wavlm import random

    return random()


NETWORK = Network(
    name="wavlm-base-sv",
    load=_load,
    read=_read,
    run=_run,
    result=_result,
    weights=lambda: sources.locate(SOURCE).paths,
    random=_random,
    bytes_per_s=60e6,
)

METRIC = of_embedding(
    "sim_wavlm",
    Column("sim", "Sim (WavLM-SV)", "%", "higher", -1.0, 1.0, 0.002, 1, 100.0),
    NETWORK,
    packages=("transformers", "torch"),
)
