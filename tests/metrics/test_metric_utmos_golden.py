"""UTMOS against an implementation that shares no code with it, on weights and signals made by rule."""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.metrics import networks, utmos
from bench.metrics.networks import inference, wav2vec2
from bench.metrics.networks.utmos import from_state

GOLDEN = json.loads((Path(__file__).parents[1] / "fixtures" / "metrics" / "utmos_golden.json").read_text())
CASES = sorted(GOLDEN["results"])


def _scale(name: str, shape: list[int]) -> tuple[float, float]:
    """(offset, factor) of the weight's normal values: the first rule that fits."""
    last, fan_in = name.rpartition(".")[2], max(1, int(np.prod(shape[1:])))
    if last == "bias" or last.startswith("bias_"):
        return 0.0, 0.05
    if name in ("domain_emb", "judge_emb", "wav2vec2.mask_emb"):
        return 0.0, 0.5
    if last == "weight_g":
        return 2.0, 0.2
    if last == "weight_v":
        return 0.0, 1.0
    if len(shape) == 1:
        return 1.0, 0.1
    if ".feature_extractor." in name:
        return 0.0, 1.4 / np.sqrt(fan_in)
    return 0.0, (1.5 if ".q_proj." in name or ".k_proj." in name else 1.0) / np.sqrt(fan_in)


@cache
def _network():
    state = {}
    for name, shape in GOLDEN["shapes"].items():
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        offset, factor = _scale(name, shape)
        drawn = generator.standard_normal(int(np.prod(shape))).reshape(shape)
        state[name] = torch.from_numpy((offset + factor * drawn).astype(np.float32))
    return from_state(state, "golden")


def _wave(case: str) -> np.ndarray:
    size = GOLDEN["results"][case]["samples"]
    t = np.arange(size) / 16_000
    noise = np.random.Generator(np.random.PCG64(size)).standard_normal(size)
    tone = 0.3 * np.sin(2 * np.pi * (120 + 30 * t) * t)
    beat = 0.1 * np.sin(2 * np.pi * 1200 * t) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))
    return (tone + beat + 0.02 * noise).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_the_signal_is_that_of_the_rule(case):
    wanted = GOLDEN["results"][case]
    assert _wave(case)[:4] == pytest.approx(np.array(wanted["wave_first4"]), abs=1e-7)
    assert float(_wave(case).astype(np.float64).sum()) == pytest.approx(wanted["wave_sum"], abs=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_scores(case, monkeypatch):
    monkeypatch.setitem(networks._loaded, (utmos.NETWORK.name, "cpu"), _network())
    wanted = GOLDEN["results"][case]
    found = utmos.utmos(_wave(case))
    # The reference's own noise: 1e-6 between numbers of threads, 2e-6 between single and double precision.
    assert found == pytest.approx(wanted["score_float64"], abs=1e-5)
    if torch.backends.cpu.get_cpu_capability() == GOLDEN["made_with"]["cpu"]:
        assert found == wanted["score_float32_1_thread"]


@pytest.mark.parametrize("case", CASES)
def test_stages(case):
    model = _network().wav2vec2
    wave = torch.from_numpy(_wave(case))[None]
    with inference():
        found = {"conv_features": model.feature_extractor(wave)[0].T}
        embedded, *layers = wav2vec2.hidden_states(model, wave)
    found["encoder_norm"] = embedded[0]
    found |= {f"layer{index}": layer[0] for index, layer in enumerate(layers)}
    assert len(found) == 14
    for name, values in found.items():
        wanted = GOLDEN["results"][case]["stages"][name]
        assert list(values.shape) == wanted["shape"], name
        tolerance = 1e-4 * wanted["abs_max"]
        assert values[len(values) // 2, :4].numpy() == pytest.approx(np.array(wanted["middle_frame_first4"]), abs=tolerance), name
        assert float(values.double().mean()) == pytest.approx(wanted["mean"], abs=tolerance), name
        assert float(values.double().std(unbiased=False)) == pytest.approx(wanted["std"], abs=tolerance), name
