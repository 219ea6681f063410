"""Speaker similarity with ECAPA-TDNN of SpeechBrain.

Definition. Embedding [192] of speechbrain/spkrec-ecapa-voxceleb: 80 log-mel bands (25 ms, 10 ms hop), mean over the
sentence removed, ECAPA-TDNN (1024 channels, 3 SE-Res2 blocks, attentive statistics pooling); the score is the cosine of
two embeddings.
Reference: Desplanques et al., "ECAPA-TDNN", Interspeech 2020; weights speechbrain/spkrec-ecapa-voxceleb (Apache-2.0). Logged
beside FocalCodec's table as its second similarity.
Range: -1 to 1, higher is better; about 0.1 between speakers. Rate: 16 kHz. Level: nearly invariant (mean removed in dB).
Length: at least 0.1 s; lengths may differ. In batches of mixed lengths the mean, the reflection at the end, the squeezed
statistics and the pooling are each row's own, and a batch equals single runs to 1e-5. Failures: too_short, silence,
not_finite. Without weights: WeightsMissing. Version 1.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.fetch import sources
from bench.metrics import Column
from bench.metrics.networks import Network, whole
from bench.metrics.shapes import of_embedding

MIN_S = 0.1
FILE = "embedding_model.ckpt"
SOURCE = sources.for_metric(name="spkrec-ecapa-voxceleb", files=(FILE,), repo="speechbrain/spkrec-ecapa-voxceleb")


def _load(device: str) -> Any:
    from bench.metrics.networks.ecapa import from_file

    return from_file(sources.locate(SOURCE).files[FILE]).to(device)


def _random() -> Any:
    from bench.metrics.networks.ecapa import Ecapa

    return Ecapa().eval()


NETWORK = Network(
    name="spkrec-ecapa-voxceleb",
    load=_load,
    read=partial(whole, min_s=MIN_S),
    run=lambda network, batch: network(batch),
    result=lambda vectors: {"embedding": vectors[0].numpy()},
    weights=lambda: sources.locate(SOURCE).paths,
    random=_random,
    bytes_per_s=20e6,
)

METRIC = of_embedding(
    "sim_ecapa",
    Column("sim_ecapa", "Sim (ECAPA)", "%", "higher", -1.0, 1.0, 0.002, 1, 100.0),
    NETWORK,
    packages=("speechbrain", "torch"),
)
