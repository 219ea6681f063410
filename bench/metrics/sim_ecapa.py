"""Speaker similarity with ECAPA-TDNN of SpeechBrain.

Definition. Embedding [192] of speechbrain/spkrec-ecapa-voxceleb: 80 log-mel bands (25 ms, 10 ms hop), mean over the
sentence removed, ECAPA-TDNN (1024 channels, 3 SE-Res2 blocks, attentive statistics pooling); the score is the cosine of
two embeddings.
Reference: Desplanques et al., "ECAPA-TDNN", Interspeech 2020; weights speechbrain/spkrec-ecapa-voxceleb (Apache-2.0). Logged
beside FocalCodec's table as its second similarity.
Range: -1 to 1, higher is better; about 0.1 between speakers. Rate: 16 kHz. Level: nearly invariant (mean removed in dB).
Length: at least 0.1 s; lengths may differ. One signal at a time: padding moves embeddings. Failures: too_short, silence,
not_finite. Without weights: WeightsMissing. Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import WeightsInvalid
from bench.fetch import pickles, sources
from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import Wave, analysis_of, check, check_rate, each, one_thread, value
from bench.metrics.sim_wavlm import cosine

RATE_HZ = 16_000
MIN_S = 0.1
FILE = "embedding_model.ckpt"
SOURCE = sources.for_metric(name="spkrec-ecapa-voxceleb", files=(FILE,), repo="speechbrain/spkrec-ecapa-voxceleb")


def build() -> Any:
    """The untrained network: features [B, N, 80] -> embedding [B, 1, 192]."""
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    network = ECAPA_TDNN(
        input_size=80,
        channels=[1024, 1024, 1024, 1024, 3072],
        kernel_sizes=[5, 3, 3, 3, 1],
        dilations=[1, 2, 3, 4, 1],
        attention_channels=128,
        lin_neurons=192,
    )
    return network.eval()


def load(path: Path) -> Any:
    """The network with the tensors of `path`. Raises WeightsInvalid when they do not fit."""
    network = build()
    try:
        network.load_state_dict(pickles.tensors(path))
    except RuntimeError as error:
        raise WeightsInvalid(f"{path}: not the ECAPA-TDNN of {SOURCE.repo}: {str(error)[:300]}") from error
    return network


def embed(wave: NDArray[Any], network: Any) -> NDArray[np.float32]:
    """Embedding [192] of `wave` [T] at 16 kHz. Raises MetricFailure."""
    import torch

    wave = check(wave, rate_hz=RATE_HZ, min_s=MIN_S)
    with torch.inference_mode(), one_thread():
        features = _features()(torch.from_numpy(wave)[None])
        features = features - features.mean(dim=1, keepdim=True)
        return np.asarray(network(features)[0, 0].numpy())


@cache
def _features() -> Any:
    from speechbrain.lobes.features import Fbank

    return Fbank(n_mels=80).eval()


@cache
def _network() -> Any:
    return load(sources.locate(SOURCE).files[FILE])


def _analyse(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    network = _network()
    return each(signals, lambda signal: {"embedding": embed(_wave(signal), network)})


def _wave(signal: Signal) -> Wave:
    return check_rate(signal, RATE_HZ).wave


def _score(ref: Signal, deg: Signal) -> dict[str, Value]:
    def compute() -> float:
        return cosine(*(np.asarray(analysis_of(signal, _analyse)["embedding"]) for signal in (ref, deg)))

    return {"sim_ecapa": value(compute)}


METRIC = Metric(
    name="sim_ecapa",
    columns=(Column("sim_ecapa", "Sim (ECAPA)", "%", "higher", -1.0, 1.0, 0.002, 1, 100.0),),
    score=_score,
    analyse=_analyse,
    weights=lambda: sources.locate(SOURCE).paths,
    packages=("speechbrain", "torch"),
)
