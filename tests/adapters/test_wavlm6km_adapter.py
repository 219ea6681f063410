"""WavLM6-KM adapter: published files, conversion by neighbours, features and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from bench import adapters, cards
from bench.coding.codec import Converts, encode
from bench.errors import BadAudio, BadCard, BadCodes, WeightsInvalid, WeightsMissing
from bench.fetch import weights
from tests.adapters.conftest import SMALL
from tests.models import zoo
from tests.models.test_wavlm6km import rule, split

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]


def published(folder: Path, wavlm_name: str) -> cards.Point:
    """The tiny reference network in files as published, and an operating point of its dimensions."""
    found = zoo.case("wavlm6km", "tiny")
    state, wavlm = split(zoo.state(found, rule(2.5)))
    for part in ("quantizer", "dequantizer", "vocoder"):
        own = {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
        save_file(own, folder / f"{part}_3.safetensors")
    if wavlm_name.endswith(".safetensors"):
        save_file(wavlm, folder / wavlm_name)
    else:
        torch.save(wavlm, folder / wavlm_name)
    config = SMALL["wavlm6km"] | {"codes": 40, "dequantizer": {"dim": 16, "num_layers": 2, "ffn_dim": 16}}
    point = cards.resolve("wavlm6km@6")
    return dataclasses.replace(point, settings={"layers": [3], "config": config})


@pytest.mark.parametrize("wavlm_name", ["pytorch_model.bin", "model.safetensors"])
def test_published_files_give_the_published_codes(wavlm_name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "weights"
    folder.mkdir()
    point = published(folder, wavlm_name)
    codec = adapters.load(point, weights.resolve(point, path=folder))
    found = zoo.case("wavlm6km", "tiny")
    for name in found.inputs():
        [codes] = codec.encode([found.arrays[f"{name}.wave"]])
        np.testing.assert_array_equal(codes.tokens[0].indices, found.arrays[f"{name}.codes"])
        np.testing.assert_allclose(codec.decode([codes])[0], found.arrays[f"{name}.out"], atol=1e-6)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "weights"
    folder.mkdir()
    point = published(folder, "model.safetensors")
    other = dataclasses.replace(point, settings={**point.settings, "layers": [2]})
    with pytest.raises(WeightsInvalid, match=r"no file quantizer_2\.safetensors; quantizer_3\.safetensors is of other layers"):
        adapters.load(other, weights.resolve(other, path=folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=r"microsoft/wavlm-large/pytorch_model\.bin"):
        adapters.load(point, weights.resolve(point, path=folder))


def test_conversion_takes_only_frames_of_the_enrolment(subject: Get, bursts: Signal) -> None:
    codec = subject("wavlm6km@6").codec
    source, other = bursts(16000, 1.0, 1), bursts(16000, 1.5, 2)
    converted = codec.convert(source, [other])
    assert converted.shape == source.shape and np.isfinite(converted).all()
    # One frame of enrolment is every frame's nearest: the vocoder then speaks that frame throughout.
    with torch.inference_mode():
        short = codec.network.sig_to_feats(torch.from_numpy(other[None, :1360]))
        constant = codec.network.vocoder(short[:, :4].mean(1, keepdim=True).expand(-1, 49, -1, -1))[0, :15680].numpy()
    np.testing.assert_allclose(codec.convert(source, [other[:1360]])[:15680], constant, atol=1e-5)
    with pytest.raises(BadAudio, match="at least one enrolment"):
        codec.convert(source, [])
    more = cards.resolve("wavlm6km@1-3-6")
    more = dataclasses.replace(more, settings={**more.settings, "config": SMALL["wavlm6km"]})
    assert not isinstance(adapters.load(more, weights.resolve(more, "random")), Converts)


def test_features_and_tables_fit_the_codes(bursts: Signal) -> None:
    for name, books in (("wavlm6km@6", 1), ("wavlm6km@1-3-6", 3)):
        point = cards.resolve(name)
        point = dataclasses.replace(point, settings={**point.settings, "config": SMALL["wavlm6km"]})
        codec: Any = adapters.load(point, weights.resolve(point, "random"))
        wave = bursts(16000, 1.0)
        feats, tables = codec.features(wave), codec.codebooks()["tokens"]
        assert feats.shape == (49, 32 * books) and [table.shape for table in tables] == [(512, 32)] * books
        indices = encode(codec, [wave])[0].tokens[0].indices
        for book, table in enumerate(tables):
            part = feats[:, 32 * book : 32 * (book + 1)]
            distance = ((part[:, None].astype(np.float64) - table) ** 2).sum(-1)
            np.testing.assert_allclose(distance[np.arange(49), indices[:, book]], distance.min(1), rtol=1e-4)
        assert len(np.unique(indices)) > 3


def test_what_does_not_fit_is_refused(subject: Get) -> None:
    codec = subject("wavlm6km@6").codec
    [codes] = encode(codec, [np.zeros(1360, np.float32)])
    part = dataclasses.replace(codes.tokens[0], indices=codes.tokens[0].indices[:3])
    with pytest.raises(BadCodes, match="holds 3 tokens; this codec decodes 4 or more"):
        codec.decode([dataclasses.replace(codes, parts=(part,))])
    point = cards.resolve("wavlm6km@6")
    for settings, said in (
        ({"layers": 6}, "list of WavLM layers"),
        ({"layers": []}, "list of WavLM layers"),
        ({"layers": [6, 3]}, "different numbers"),
        ({"layers": [6], "top": 3}, "topk"),
        ({"layers": [6], "config": {"encoder": {"dims": 3}}}, "dim"),
    ):
        bad = dataclasses.replace(point, settings=settings)
        with pytest.raises(BadCard, match=said):
            adapters.load(bad, weights.resolve(bad, "random"))
