"""UTMOS: the "strong learner" of UTMOS22, a no-reference predictor of naturalness scores.

Definition. wav2vec 2.0 base on the raw wave (no normalisation) -> frames [N, 768], each with one fixed domain and one fixed
judge vector appended (128 + 128) -> bidirectional LSTM of 512 -> linear 2048, ReLU, linear 1; the score is the mean over
frames times 2 plus 3, not clamped.
Reference: Saeki et al., "UTMOS: UTokyo-SaruLab System for VoiceMOS Challenge 2022", Interspeech 2022; weights
utmos22_strong_step7459_v1.pt of tarepan/SpeechMOS v1.0.0 (MIT), checked by sha256; here on transformers' wav2vec 2.0,
equal to the released code bit for bit. LibriSpeech test-clean originals score 4.086.
Range: 1 to 5 nominal, higher is better. Rate: 16 kHz. Level: not invariant, weakly dependent.
Length: at least 0.1 s. Padding moves scores (group norm, LSTM and mean run over it): signals are batched by equal length
only, so batches equal single runs. Failures: too_short, silence, not_finite. Without weights: WeightsMissing. Version 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import WeightsInvalid
from bench.fetch import pickles, sources
from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import Wave, analysis_of, by_length, check, check_rate, checked_batch, one_thread, value

RATE_HZ = 16_000
MIN_S = 0.1
FILE = "utmos22_strong_step7459_v1.pt"
SOURCE = sources.for_metric(
    name="utmos",
    files=(FILE,),
    urls={FILE: f"https://github.com/tarepan/SpeechMOS/releases/download/v1.0.0/{FILE}"},
    sha256={FILE: "38aa51ab79e2a4e09a1449758a4b37e9cbb2e8235a49662a732d33a9ba1e9bff"},
)

# Names of the checkpoint (fairseq's) -> names of transformers' Wav2Vec2Model, in the order they are tried.
RENAMES = (
    (r"feature_extractor\.conv_layers\.(\d)\.0\.weight", r"feature_extractor.conv_layers.\1.conv.weight"),
    (r"feature_extractor\.conv_layers\.0\.2\.(.*)", r"feature_extractor.conv_layers.0.layer_norm.\1"),
    (r"layer_norm\.(.*)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(.*)", r"feature_projection.projection.\1"),
    (r"encoder\.pos_conv\.0\.bias", r"encoder.pos_conv_embed.conv.bias"),
    (r"encoder\.pos_conv\.0\.weight_g", r"encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"encoder\.pos_conv\.0\.weight_v", r"encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"(encoder\.layers\.\d+)\.self_attn_layer_norm\.(.*)", r"\1.layer_norm.\2"),
    (r"(encoder\.layers\.\d+)\.self_attn\.(.*)", r"\1.attention.\2"),
    (r"(encoder\.layers\.\d+)\.fc1\.(.*)", r"\1.feed_forward.intermediate_dense.\2"),
    (r"(encoder\.layers\.\d+)\.fc2\.(.*)", r"\1.feed_forward.output_dense.\2"),
    (r"mask_emb", r"masked_spec_embed"),
)


def utmos(wave: NDArray[Any]) -> float:
    """UTMOS of `wave` [T] at 16 kHz. Raises MetricFailure, WeightsMissing."""
    return float(scores([check(wave, rate_hz=RATE_HZ, min_s=MIN_S)], _network())[0])


def scores(waves: Sequence[NDArray[np.float32]], network: Any) -> NDArray[np.float64]:
    """Scores [B] of checked waves [T] each, in batches of one length."""
    import torch

    out = np.empty(len(waves))
    with torch.inference_mode(), one_thread():
        for members in by_length(waves, limit=8):
            out[members] = network(torch.from_numpy(np.stack([waves[i] for i in members]))).numpy()
    return out


def rename(key: str) -> str:
    """A key of the checkpoint -> the key of `build()`'s network."""
    if not key.startswith("wav2vec2."):
        return key
    inner = key.removeprefix("wav2vec2.")
    for pattern, replacement in RENAMES:
        if re.fullmatch(pattern, inner):
            return "wav2vec2." + re.sub(pattern, replacement, inner)
    return key


def build() -> Any:
    """The untrained network: wave [B, T] -> score [B]."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    class Utmos(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wav2vec2 = Wav2Vec2Model(Wav2Vec2Config(layer_norm_eps=1e-5))
            self.domain_emb = torch.nn.Parameter(torch.zeros(1, 128))
            self.judge_emb = torch.nn.Parameter(torch.zeros(1, 128))
            self.blstm = torch.nn.LSTM(1024, 512, batch_first=True, bidirectional=True)
            self.projection = torch.nn.Sequential(torch.nn.Linear(1024, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 1))

        def forward(self, wave: torch.Tensor) -> torch.Tensor:
            frames = self.wav2vec2(wave).last_hidden_state
            fixed = torch.cat([self.domain_emb, self.judge_emb], dim=1).expand(*frames.shape[:2], -1)
            hidden, _ = self.blstm(torch.cat([frames, fixed], dim=-1))
            return self.projection(hidden).mean(dim=(1, 2)) * 2.0 + 3.0

    return Utmos().eval()


def load(state: Mapping[str, Any], source: str) -> Any:
    """The network with the checkpoint's tensors. Raises WeightsInvalid naming the first keys that do not fit."""
    import torch

    # Without memory of its own: the network takes over the checkpoint's tensors instead of drawing and copying.
    with torch.device("meta"):
        network = build()
    renamed = {rename(key): tensor for key, tensor in state.items()}
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    wrong = sorted(
        set(wanted.keys() ^ renamed.keys())
        | {key for key in wanted.keys() & renamed.keys() if tuple(renamed[key].shape) != wanted[key]}
    )
    if wrong:
        raise WeightsInvalid(f"{source}: not a UTMOS22 strong checkpoint; {len(wrong)} tensors differ: {wrong[:4]}")
    network.load_state_dict(renamed, assign=True)
    return network.eval()


@cache
def _network() -> Any:
    path = sources.locate(SOURCE).files[FILE]
    return load(pickles.tensors(path), str(path))


def _analyse(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    network = _network()
    out, places, waves = checked_batch(signals, _checked)
    for place, found in zip(places, scores(waves, network), strict=True):
        out[place] = {"score": float(found)}
    return out


def _checked(signal: Signal) -> Wave:
    return check(check_rate(signal, RATE_HZ).wave, rate_hz=RATE_HZ, min_s=MIN_S)


def _score(ref: Signal, deg: Signal) -> dict[str, Value]:
    return {"utmos": value(lambda: float(analysis_of(deg, _analyse)["score"]))}


METRIC = Metric(
    name="utmos",
    columns=(Column("utmos", "UTMOS", "", "higher", 1.0, 5.0, margin=0.02),),
    score=_score,
    analyse=_analyse,
    weights=lambda: sources.locate(SOURCE).paths,
    packages=("transformers", "torch"),
    one_sided=True,
)
