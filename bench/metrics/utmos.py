"""UTMOS: the "strong learner" of UTMOS22, a no-reference predictor of naturalness scores.

Definition. wav2vec 2.0 base on the raw wave (no normalisation) -> frames [N, 768], each with one fixed domain and one fixed
judge vector appended (128 + 128) -> bidirectional LSTM of 512 -> linear 2048, ReLU, linear 1; the score is the mean over
frames times 2 plus 3, not clamped.
Reference: Saeki et al., "UTMOS: UTokyo-SaruLab System for VoiceMOS Challenge 2022", Interspeech 2022; weights
utmos22_strong_step7459_v1.pt of tarepan/SpeechMOS v1.0.0 (MIT), checked by sha256; here on transformers' wav2vec 2.0,
equal to the released code bit for bit on a CPU with one thread. LibriSpeech test-clean originals score 4.086.
Range: 1 to 5 nominal, higher is better. Rate: 16 kHz. Level: not invariant, weakly dependent.
Length: at least 0.1 s. Padding would move scores (group norm, LSTM and mean run over it): in batches of mixed lengths all
three are masked, and a batch equals single runs to 1e-5. Failures: too_short, silence, not_finite. Without weights:
WeightsMissing. Version 1.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from numpy.typing import NDArray

from bench.fetch import pickles, sources
from bench.metrics import Column
from bench.metrics.networks import Network, mean_of, whole
from bench.metrics.shapes import of_wave

MIN_S = 0.1
FILE = "utmos22_strong_step7459_v1.pt"
SOURCE = sources.for_metric(
    name="utmos",
    files=(FILE,),
    urls={FILE: f"https://github.com/tarepan/SpeechMOS/releases/download/v1.0.0/{FILE}"},
    sha256={FILE: "38aa51ab79e2a4e09a1449758a4b37e9cbb2e8235a49662a732d33a9ba1e9bff"},
)


def utmos(wave: NDArray[Any]) -> float:
    """UTMOS of `wave` [T] at 16 kHz. Raises MetricFailure, WeightsMissing."""
    return float(NETWORK.of(wave)["score"])  # type: ignore[arg-type]


def _load(device: str) -> Any:
    from bench.metrics.networks.utmos import from_state

    path = sources.locate(SOURCE).files[FILE]
    return from_state(pickles.tensors(path), str(path)).to(device)


def _random() -> Any:
    from bench.metrics.networks.utmos import Utmos

    return Utmos().eval()


NETWORK = Network(
    name="utmos",
    load=_load,
    read=partial(whole, min_s=MIN_S),
    run=lambda network, batch: network(batch),
    result=mean_of("score"),
    weights=lambda: sources.locate(SOURCE).paths,
    random=_random,
    bytes_per_s=60e6,
)

METRIC = of_wave(
    "utmos",
    (Column("utmos", "UTMOS", "", "higher", 1.0, 5.0, margin=0.02),),
    NETWORK,
    packages=("transformers", "torch"),
)
