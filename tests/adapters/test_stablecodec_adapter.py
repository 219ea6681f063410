"""Stable Codec's adapter: published files, bottlenecks, conversion, tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from bench import adapters, cards
from bench.coding.codec import Converts, HasCodebooks, encode
from bench.coding.codes import Tokens
from bench.errors import BadCard, BadCodes, UnknownName, WeightsInvalid
from bench.fetch import weights
from bench.models.stablecodec import BOTTLENECKS, StableCodec, StableCodecConfig
from tests.adapters.conftest import SMALL
from tests.models.test_stablecodec import published_config

Signal = Callable[..., NDArray[np.float32]]
POINTS = {"0.4": "1x46656", "0.7": "2x15625", "1": "4x729", "0.6": "train"}


def made(name: str) -> Any:
    point = cards.resolve(f"stablecodec@{name}")
    point = dataclasses.replace(point, settings={**point.settings, "config": SMALL["stablecodec"]})
    return adapters.load(point, weights.resolve(point, "random"))


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_published_files(suffix: str, bursts: Signal, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.manual_seed(4)
    config = StableCodecConfig(patch=20, channels=32, transformer_depths=(1, 2), sliding_window=(7, 8))
    network = StableCodec(config, BOTTLENECKS["2x15625"]).eval()
    if suffix == "safetensors":
        save_file(network.state_dict(), folder / "model.safetensors")
    else:
        torch.save({"state_dict": network.state_dict(), "epoch": 1}, folder / "model.ckpt")
    (folder / "model_config.json").write_text(json.dumps(published_config()))
    point = cards.resolve("stablecodec@0.7")
    codec: Any = adapters.load(point, weights.resolve(point, path=folder))
    assert codec.frame == 40
    wave = bursts(16000, 0.5)
    with torch.no_grad():
        expected = network.encode(torch.from_numpy(wave)[None])[0]
    np.testing.assert_array_equal(encode(codec, [wave])[0].tokens[0].indices, expected.numpy())

    (folder / "model_config.json").write_text(json.dumps(published_config(differential=True)))
    with pytest.raises(WeightsInvalid, match="unknown key 'differential'"):
        adapters.load(point, weights.resolve(point, path=folder))
    (folder / "model_config.json").write_text("{")
    with pytest.raises(WeightsInvalid, match=r"model_config\.json is no JSON"):
        adapters.load(point, weights.resolve(point, path=folder))
    (folder / "model_config.json").unlink()
    with pytest.raises(WeightsInvalid, match=r"no model_config\.json"):
        adapters.load(point, weights.resolve(point, path=folder))


@pytest.mark.parametrize("name", POINTS)
def test_every_bottleneck_sends_what_its_card_says(name: str, bursts: Signal) -> None:
    codec, point = made(name), cards.resolve(f"stablecodec@{name}")
    wave = bursts(16000, 1.0)
    [codes] = encode(codec, [wave])
    [part] = codes.parts
    assert isinstance(part, Tokens)
    assert list(part.sizes) == list(point.streams[0].sizes) and part.indices.shape == (25, len(part.sizes))
    assert codes.nominal_bits / 1000 == pytest.approx(point.bitrate_kbps, abs=0.001)
    assert codec.decode([codes])[0].shape == (16000,)
    feats = codec.features(wave)
    assert feats.shape == (25, 6) and np.abs(feats).max() < 1
    assert isinstance(codec, Converts) == (name in ("0.4", "0.6")), "several stages are swapped by codebook instead"
    assert isinstance(codec, HasCodebooks) == (name != "0.6")
    if name != "0.6":
        tables = codec.codebooks()["tokens"]
        assert [table.shape for table in tables] == [(size, 6) for size in part.sizes]
        values = sum(table[row] for table, row in zip(tables, part.indices.T, strict=True))
        with torch.inference_mode():
            sent = codec.network.dequantize(torch.from_numpy(part.indices.astype(np.int64))[None])[0].T.numpy()
        np.testing.assert_allclose(values, sent, atol=1e-6)


def test_conversion_takes_only_frames_of_the_enrolment(bursts: Signal) -> None:
    codec = made("0.4")
    source, other = bursts(16000, 1.0, 1), bursts(16000, 0.04, 2)[:640]
    with torch.inference_mode():
        frame = torch.tanh(codec.network.latents(torch.from_numpy(other)[None]))
        expected = codec.network.synthesize(frame.expand(-1, -1, 25))[0].numpy()
    np.testing.assert_allclose(codec.convert(source, [other]), expected, atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    codec = made("0.7")
    with pytest.raises(BadCodes, match="tokens"):
        codec.decode(encode(made("1"), [np.zeros(640, np.float32)]))
    point = cards.resolve("stablecodec@0.7")
    for settings, error, said in (
        ({"bottleneck": "2x1562"}, UnknownName, "2x15625"),
        ({}, UnknownName, "bottleneck"),
        ({"bottleneck": "train", "lufs": -20}, BadCard, "lufs"),
        ({"bottleneck": "train", "config": {"strides": [2]}}, BadCard, "one value per stage"),
    ):
        bad = dataclasses.replace(point, settings=settings)
        with pytest.raises(error, match=said):
            adapters.load(bad, weights.resolve(bad, "random"))
