"""TiCodec and HiFi-Codec adapters: published checkpoints, conversion, features and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench import adapters, cards
from bench.coding.codec import Converts, encode
from bench.errors import BadCard, BadCodes, WeightsInvalid, WeightsMissing
from bench.fetch import weights
from bench.models.ticodec import TICODEC, TiCodec

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]
SMALL = {"channels": 16, "block_kernels": [3]}


def point(name: str, **config: Any) -> cards.Point:
    found = cards.resolve(name)
    return dataclasses.replace(found, settings={**found.settings, "config": {**SMALL, **config}})


@pytest.mark.parametrize("name", ["ticodec@1.5", "hificodec@2"])
def test_a_checkpoint_in_the_published_layout(name: str, bursts: Signal, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    small = point(name)
    source = adapters.load(small, weights.resolve(small, "random", seed=3))
    network = TiCodec(source.config)  # type: ignore[attr-defined]
    parts = {part: getattr(network, part).state_dict() for part in ("encoder", "quantizer", "generator")}
    if source.config.global_codes:  # type: ignore[attr-defined]
        parts["encoder"] |= {"linear.0.weight": torch.zeros(64, 64), "linear.0.bias": torch.zeros(64)}
    path = tmp_path / "g_00000001"
    torch.save(parts | {"steps": 7}, path)
    codec = adapters.load(small, weights.resolve(small, path=path))
    wave = bursts(codec.sample_rate, 0.5)
    with torch.no_grad():
        network.eval()
        padded = torch.from_numpy(np.pad(wave, (0, -len(wave) % 320)))[None]
        expected = network.encode(padded).local[0]
    np.testing.assert_array_equal(encode(codec, [wave])[0].tokens[0].indices, expected.numpy())

    with pytest.raises(WeightsInvalid, match=r"g_00000001: .*(shape|missing|unknown)"):
        adapters.load(point(name, codes=32), weights.resolve(small, path=path))
    del parts["encoder"]["conv_post.bias"]
    torch.save(parts, path)
    with pytest.raises(WeightsInvalid, match=r"encoder\.conv_post\.bias is missing"):
        adapters.load(small, weights.resolve(small, path=path))
    path.write_bytes(b"no pickle")
    with pytest.raises(WeightsInvalid, match="g_00000001"):
        adapters.load(small, weights.resolve(small, path=path))


def test_the_file_that_no_card_names_is_asked_for() -> None:
    found = cards.resolve("ticodec@3")
    with pytest.raises(WeightsMissing, match=r"y-ren16/TiCodec.*WEIGHTS=FILE"):
        adapters.load(found, weights.Weights("official", source="hub y-ren16/TiCodec@main"))


def test_conversion_takes_the_global_codes_of_the_enrolment(subject: Get, bursts: Signal) -> None:
    codec = subject("ticodec@0.75").codec
    source, other = bursts(codec.sample_rate, 1.0, 1), bursts(codec.sample_rate, 1.5, 2) ** 3
    said, voice = encode(codec, [source, other])
    assert (said.part("global").indices != voice.part("global").indices).any()
    whole = dataclasses.replace(said, parts=(said.part("codes"), voice.part("global")))
    np.testing.assert_array_equal(codec.convert(source, [other]), codec.decode([whole])[0][: len(source)])
    assert not isinstance(subject("hificodec@2").codec, Converts)


def test_features_and_tables_fit_the_codes(subject: Get, bursts: Signal) -> None:
    for name, books, dim in (("ticodec@0.75", 1, 256), ("hificodec@2", 4, 128)):
        codec = subject(name).codec
        wave = bursts(codec.sample_rate, 1.0)[: 20 * codec.frame]
        assert codec.features(wave).shape == (20, 256)
        tables = codec.codebooks()["codes"]
        assert [table.shape for table in tables] == [(1024, dim)] * books
        indices = encode(codec, [wave])[0].tokens[0].indices
        assert len(np.unique(indices)) > 3
        assert books > 1 or np.array_equal(
            np.linalg.norm(codec.features(wave)[:, None] - tables[0], axis=-1).argmin(1), indices[:, 0]
        )


def test_what_does_not_fit_is_refused(subject: Get) -> None:
    codec = subject("ticodec@0.75").codec
    other = encode(subject("hificodec@2").codec, [np.zeros(640, np.float32)])
    with pytest.raises(BadCodes, match="codes"):
        codec.decode(other)
    found = cards.resolve("ticodec@3")
    for settings, said in (
        ({"layers": 5}, "layers is 5"),
        ({"groups": 3}, "3 groups"),
        ({"kernels": [16, 11]}, "kernels"),
        ({"config": {"chanels": 3}}, "channels"),
        ({"layer": 3}, "layers"),
    ):
        bad = dataclasses.replace(found, settings={**found.settings, **settings})
        with pytest.raises(BadCard, match=said):
            adapters.load(bad, weights.resolve(bad, "random"))


def test_the_card_counts_parameters() -> None:
    for name in ("ticodec@0.75", "ticodec@1.5", "ticodec@3"):
        found = cards.resolve(name)
        with torch.device("meta"):
            network = TiCodec(dataclasses.replace(TICODEC, layers=found.settings["layers"]))
        # With the linear layer that the published encoder builds and never calls.
        count = sum(parameter.numel() for parameter in network.parameters()) + 128 * 128 + 128
        assert count == round(1e6 * found.params_m)  # type: ignore[operator]
