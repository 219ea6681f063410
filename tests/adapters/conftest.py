"""What the adapters' tests share: signals, and codecs small enough to test everywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import adapters, cards, presence
from bench.coding.codec import Codec
from bench.fetch import weights

_HUBERT = {
    "model_type": "hubert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "mask_time_prob": 0.0,
}  # fmt: skip
_DAC = {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "hidden_size": 16}
_SCALAR = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
    "head_dim": 16, "encoder_hidden_size": 4, "quantization_dim": 64,
    "semantic_model_config": {
        "model_type": "wav2vec2-bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "output_hidden_size": 32,
    },
}  # fmt: skip
# Architectures shrunk, by the card's `model` or by its adapter: the same code paths with few channels.
SMALL: dict[str, dict[str, Any]] = {
    "encodec": {"num_filters": 4, "hidden_size": 16, "codebook_dim": 16},
    "dac": {"encoder_hidden_size": 4, "decoder_hidden_size": 48},
    "wavlm6km": {
        "encoder": {
            "hidden_dims": [16] * 7, "dim": 32, "ffn_dim": 64, "num_heads": 4, "conv_pos": 16, "conv_pos_groups": 4
        },
        "dequantizer": {"dim": 16, "num_layers": 1, "ffn_dim": 16},
        "vocoder_channels": 32,
    },
    "xcodec": {"acoustic_model_config": _DAC, "semantic_model_config": _HUBERT},
    "higgs_audio_v2_tokenizer": {
        "codebook_dim": 8, "semantic_model_config": _HUBERT,
        "acoustic_model_config": {**_DAC, "downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]},
    },
    "xcodec2": _SCALAR,
    "neucodec": _SCALAR,
    "snac": {"encoder_dim": 4, "decoder_dim": 64},
    "speechtokenizer": {"width": 4, "dim": 32, "semantic_dim": 24},
    "wavtokenizer": {"width": 4, "dim": 24, "backbone_dim": 64, "ffn_dim": 96, "layers": 2},
    "bigcodec": {"width": 4, "dim": 24, "decoder_width": 96},
    "stablecodec": {"channels": 32, "transformer_depths": [1, 2], "sliding_window": [7, 8]},
    "supercodec": {"channels": 4, "dim": 16},
    "ticodec": {"channels": 16, "block_kernels": [3]},
    "mimi": {
        "hidden_size": 32, "num_filters": 4, "codebook_dim": 16, "vector_quantization_hidden_dimension": 16,
        "num_hidden_layers": 1, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2,
        "head_dim": 16, "upsample_groups": 32, "num_quantizers": 8,
    },
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Subject:
    """A codec under test and how it was made, so that another process can make it again."""

    name: str
    kind: str
    config: dict[str, Any]
    codec: Codec
    point: cards.Point


def make(name: str, kind: str, config: dict[str, Any]) -> Subject:
    """The operating point `name` with `kind` of weights, its architecture shrunk by `config` if given."""
    point = cards.resolve(name)
    if config:
        point = dataclasses.replace(point, settings={**point.settings, "config": config})
    return Subject(name, kind, config, adapters.load(point, weights.resolve(point, kind)), point)


def choose(name: str) -> Subject:
    """`name` with weights that are here: none needed, small random, shipped, official, or random; else a skip."""
    point = cards.resolve(name)
    lacking = presence.presence(point)
    if lacking.state in (presence.PACKAGE, presence.ENVIRONMENT):
        pytest.skip(f"{name}: {lacking}")
    if not point.needs_weights:
        return make(name, "none", {})
    small = SMALL.get(point.settings.get("model", point.adapter))
    if small is not None:
        return make(name, "random", small)
    for kind in ("nano", "official"):
        if kind in point.weights and weights.available(point, kind):
            return make(name, kind, {})
    return make(name, "random", {})


@pytest.fixture(scope="session")
def subject() -> Callable[[str], Subject]:
    """Subjects by name, made once."""
    made: dict[str, Subject] = {}

    def get(name: str) -> Subject:
        if name not in made:
            made[name] = choose(name)
        return made[name]

    return get


@cache
def _bursts(rate_hz: int, seconds: float, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    wave = 1e-4 * rng.standard_normal(int(seconds * rate_hz))
    centre = min(0.35, seconds / 2)
    while centre == seconds / 2 or centre < seconds - 0.3:
        first, last = max(0, int((centre - 0.3) * rate_hz)), min(len(wave), int((centre + 0.3) * rate_hz))
        time = np.arange(first, last) / rate_hz - centre
        pitch = rng.uniform(95, 210)
        harmonics = pitch * np.arange(1, int(3400 / pitch))[:, None]
        levels = 1 / np.sqrt(harmonics / pitch * (1 + ((harmonics - 600) / 400) ** 2))
        phases = rng.uniform(0, 2 * np.pi, harmonics.shape)
        sound = (levels * np.cos(2 * np.pi * harmonics * time + phases)).sum(axis=0)
        wave[first:last] += 0.15 * np.exp(-0.5 * (time / 0.045) ** 2) * sound
        centre += rng.uniform(0.3, 0.45)
    return wave.astype(np.float32)


def voiced_bursts(rate_hz: int, seconds: float = 6.0, seed: int = 0) -> NDArray[np.float32]:
    """Harmonic sounds under Gaussian envelopes, 0.1 s long, three a second: [T].

    They are symmetric in time, which speech is not (steep onsets, slow ends), so that the delay of an envelope can be
    told from its smoothing.
    """
    return _bursts(rate_hz, seconds, seed).copy()


@pytest.fixture(scope="session")
def bursts() -> Callable[..., NDArray[np.float32]]:
    return voiced_bursts
