"""Checkpoints of transformers' audio tokenizers that are not what they should be: one clear line for each, for every model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench import adapters, cards
from bench.adapters import hf
from bench.coding.codec import roundtrip
from bench.errors import BenchError
from bench.fetch import weights
from tests.adapters.conftest import SMALL, voiced_bursts

NAMES = {"encodec": "encodec@1.5", "dac": "dac@1", "mimi": "mimi@0.69", "xcodec": "xcodec@0.5", "xcodec2": "xcodec2",
         "neucodec": "neucodec", "higgs_audio_v2_tokenizer": "higgs@0.5"}  # fmt: skip

every = pytest.mark.parametrize("model", NAMES)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small checkpoint of each model, as transformers writes it."""
    made = {}
    for model in NAMES:
        made[model] = tmp_path_factory.mktemp(model)
        hf._random(hf.MODELS[model], SMALL[model], seed=1, codebooks=1, device="cpu").network.save_pretrained(made[model])
    return made


def load(model: str, folder: Path) -> Any:
    point = cards.resolve(NAMES[model])
    return adapters.load(point, weights.resolve(point, path=folder))


def refused(model: str, folder: Path, *words: str) -> None:
    with pytest.raises(BenchError) as told:
        load(model, folder)
    said = str(told.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_every_model_is_here() -> None:
    assert set(NAMES) == set(hf.MODELS)


@every
def test_a_good_one_loads(model: str, written: dict[str, Path]) -> None:
    codec = load(model, written[model])
    wave = voiced_bursts(codec.sample_rate, 0.3)
    assert len(roundtrip(codec, wave)[1]) == round(len(wave) * codec.output_rate / codec.sample_rate)


@every
def test_another_size_is_told(model: str, written: dict[str, Path], tmp_path: Path) -> None:
    """The tensors of one model under the numbers of another."""
    shutil.copy(written[model] / "model.safetensors", tmp_path)
    config = json.loads((written[model] / "config.json").read_text())
    place = config.get("acoustic_model_config", config)
    key = "num_filters" if "num_filters" in place else "encoder_hidden_size"
    place[key] = 2 * place[key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused(model, tmp_path, str(tmp_path), "tensors missing or misshapen")


@every
def test_files_that_cannot_be_read_are_told(model: str, written: dict[str, Path], tmp_path: Path) -> None:
    for file in ("config.json", "model.safetensors"):
        shutil.copy(written[model] / file, tmp_path)
    content = (written[model] / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    refused(model, tmp_path, str(tmp_path), "cut short or damaged")
    (tmp_path / "config.json").write_text("{")
    refused(model, tmp_path, str(tmp_path / "config.json"), "JSON")


@every
def test_another_model_is_told(model: str, written: dict[str, Path]) -> None:
    other = "dac" if model != "dac" else "encodec"
    refused(model, written[other], str(written[other]), other, model)
