"""Speech and synthetic signals for the metric tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def clip(reference: Path) -> Callable[[str], np.ndarray]:
    """Reads a clip of the metric fixtures by name: float32 [T] at 16 kHz."""

    @cache
    def read(name: str) -> np.ndarray:
        wave, rate = soundfile.read(reference / "metrics" / "wav" / f"{name}.wav", dtype="float32")
        assert rate == 16_000
        return np.asarray(wave)

    return read


@pytest.fixture(scope="session")
def golden(reference: Path) -> Callable[[str], Any]:
    """Reads expected_<name>.json of the metric fixtures."""

    def read(name: str) -> Any:
        rows = json.loads((reference / "metrics" / f"expected_{name}.json").read_text())
        if name == "intrusive":  # by clips, of which the archive leaves out two
            rows = {clip: row for clip, row in rows.items() if (reference / "metrics" / "wav" / f"{clip}.wav").is_file()}
        return rows

    return read


@pytest.fixture(scope="session")
def voice() -> np.ndarray:
    """Two seconds of a synthetic voice with pauses, float32 at 16 kHz: harmonics of a gliding F0 under two formants."""
    rate, rng = 16_000, np.random.default_rng(3)
    t = np.arange(2 * rate) / rate
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    wave = sum(np.sin(k * phase) * np.exp(-(((k * 130 - 600) / 900) ** 2)) for k in range(1, 30))
    syllables = np.clip(np.sin(2 * np.pi * 3 * t) + 0.4, 0.0, 1.0)
    noise = rng.normal(0, 1e-3, t.size)
    return (0.1 * np.asarray(wave) * syllables + noise).astype(np.float32)


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory):
    """A narrow random Whisper with the real vocabulary, through the real loading path; its texts are token numbers."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperProcessor

    from bench.metrics.networks.whisper import Recogniser

    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, max_target_positions=16,
    )  # fmt: skip
    network = WhisperForConditionalGeneration(config)
    settings = {
        "_from_model_config": False,
        "is_multilingual": True,
        "lang_to_id": {"<|en|>": 50259, "<|de|>": 50261},
        "task_to_id": {"transcribe": 50359},
        "no_timestamps_token_id": 50363,
        "decoder_start_token_id": 50258,
        "eos_token_id": 50257,
        "pad_token_id": 50257,
        "max_length": 16,
    }
    for key, setting in settings.items():
        setattr(network.generation_config, key, setting)
    network.save_pretrained(folder)

    class Numbers:
        feature_extractor = WhisperFeatureExtractor()

        @staticmethod
        def batch_decode(tokens, skip_special_tokens):
            return [" ".join(str(int(t)) for t in row if t < 50257) for row in tokens]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhisperProcessor, "from_pretrained", lambda *_, **__: Numbers())
        return Recogniser(str(folder))
