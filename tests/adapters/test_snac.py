"""SNAC: three rates, published layout, the package's own codes and wave."""

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

from bench import adapters, cards
from bench.adapters.snac import NAMES, NOISE_SEED, SPEECH
from bench.coding.codec import encode, roundtrip
from bench.engine.producers.conversion import convert
from bench.errors import BadCard, BenchError, WeightsInvalid, WeightsMissing
from bench.fetch import weights

pytest.importorskip("snac")
Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]


def test_streams_run_at_three_rates(subject: Get, bursts: Signal) -> None:
    codec = subject("snac").codec
    wave = bursts(24000, 1.0)
    codes, decoded = roundtrip(codec, wave)
    assert [len(part.indices) for part in codes.tokens] == [12, 24, 48] and len(decoded) == 24000
    assert codec.features(wave).shape == (48, 16 * SPEECH["encoder_dim"] // 12)
    assert tuple(codec.codebooks()) == NAMES
    assert all([table.shape for table in tables] == [(4096, 8)] for tables in codec.codebooks().values())
    assert all(len(np.unique(part.indices)) > 3 for part in codes.tokens)


def test_conversion_keeps_the_coarse_stream_of_the_source(subject: Get, bursts: Signal) -> None:
    codec = subject("snac").codec
    source, other = bursts(24000, 1.0, 1), bursts(24000, 1.5, 2)
    converted, method = convert(codec, source, [other])
    assert method == "swap" and converted.shape == source.shape
    said, voice = encode(codec, [source, other])
    from_voice = [dataclasses.replace(voice.part(part.name), indices=voice.part(part.name).indices[: len(part.indices)])
                  for part in said.tokens[1:]]  # fmt: skip
    mixed = dataclasses.replace(said, parts=(said.tokens[0], *from_voice))
    np.testing.assert_array_equal(converted, codec.decode([mixed])[0][: len(source)])


def test_a_published_folder_gives_the_packages_codes_and_wave(bursts: Signal, tmp_path: Path, monkeypatch: Any) -> None:
    from snac import SNAC

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    config = {**SPEECH, "encoder_dim": 4, "decoder_dim": 64}
    torch.manual_seed(1)
    network = SNAC(**config).eval()
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    point = cards.resolve("snac")
    codec = adapters.load(point, weights.resolve(point, path=tmp_path))
    wave = bursts(24000, 0.7)
    with torch.inference_mode():
        expected = network.encode(torch.from_numpy(wave)[None, None])
        torch.manual_seed(NOISE_SEED)
        decoded = network.decode(expected)[0, 0, : len(wave)].numpy()
    codes, mine = roundtrip(codec, wave)
    for part, indices in zip(codes.tokens, expected, strict=True):
        np.testing.assert_array_equal(part.indices[:, 0], indices[0].numpy())
    np.testing.assert_array_equal(mine, decoded)

    (tmp_path / "config.json").write_text(json.dumps({**config, "decoder_dim": 32}))
    with pytest.raises(WeightsInvalid, match=r"pytorch_model\.bin: .*has shape"):
        adapters.load(point, weights.resolve(point, path=tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({**config, "vq_strides": [8, 4, 2, 1]}))
    with pytest.raises(WeightsInvalid, match="not of a SNAC with 3 streams"):
        adapters.load(point, weights.resolve(point, path=tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsMissing, match=r"config\.json is not among"):
        adapters.load(point, weights.resolve(point, path=tmp_path))


def test_the_full_model_has_the_published_number_of_parameters() -> None:
    from snac import SNAC

    with torch.device("meta"):
        assert sum(p.numel() for p in SNAC(**SPEECH).parameters()) == pytest.approx(19.84e6, rel=1e-3)


def test_bad_input_is_told(monkeypatch: Any) -> None:
    point = cards.resolve("snac")
    bad = dataclasses.replace(point, settings={"config": {"encoder_dims": 4}})
    with pytest.raises(BadCard, match="encoder_dim"):
        adapters.load(bad, weights.resolve(bad, "random"))
    monkeypatch.setitem(__import__("sys").modules, "snac", None)
    with pytest.raises(BenchError, match="pip install snac einops"):
        adapters.load(point, weights.resolve(point, "random"))


def test_folded_weights_are_parameters(subject: Get) -> None:
    """What is no parameter would be neither counted nor moved to a GPU."""
    codec = subject("snac").codec
    names = {name for name, _ in codec.network.named_parameters()}
    assert "encoder.block.0.weight" in names and not any("parametrizations" in name for name in names)
