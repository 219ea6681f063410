"""SpeechTokenizer, WavTokenizer and BigCodec behind the interface: published checkpoints, conversion, features, tables."""

from __future__ import annotations

import argparse
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
from bench.coding.codec import Converts, encode
from bench.errors import BadCard, BadCodes, WeightsInvalid
from bench.fetch import weights
from tests.models import test_bigcodec, test_speechtokenizer, test_wavtokenizer, zoo

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]
NAMES = ["speechtokenizer@1", "wavtokenizer@40", "wavtokenizer@75", "bigcodec"]
WAVTOKENIZER = {"width": 4, "dim": 24, "codebook_size": 64, "backbone_dim": 64, "ffn_dim": 96, "layers": 3}


def small(name: str, **config: Any) -> cards.Point:
    found = cards.resolve(name)
    return dataclasses.replace(found, settings={**found.settings, "config": config})


def published(name: str, folder: Path) -> tuple[cards.Point, Path, zoo.Case, Path]:
    """A point whose dimensions are those of a reference case, the case's weights as its authors lay them out, the case."""
    if name.startswith("speechtokenizer"):
        case = test_speechtokenizer.case("tiny")
        (folder / "config.json").write_text(json.dumps(dict(case.facts["config"]) | {"batch_size": 10}))
        pickle = folder / "SpeechTokenizer.pt"
        torch.save(test_speechtokenizer.state("tiny"), pickle)
        return small(name), folder, case, pickle
    if name.startswith("wavtokenizer"):
        tag = "tiny" + name.partition("@")[2]
        pickle = folder / "model.ckpt"
        state = test_wavtokenizer.state(tag) | {"multiperioddisc.discriminators.0.convs.0.bias": torch.zeros(2)}
        extras = {"hyper_parameters": argparse.Namespace(rate=24000), "epoch": 3, "callbacks": {}, "optimizer_states": []}
        torch.save({"state_dict": state, **extras}, pickle)
        return small(name, **WAVTOKENIZER), pickle, test_wavtokenizer.case(tag), pickle
    pickle = folder / "bigcodec.pt"
    parts: dict[str, dict[str, torch.Tensor]] = {"CodecEnc": {}, "generator": {}}
    for key, value in test_bigcodec.state("tiny").items():
        part, _, rest = key.partition(".")
        parts[part][rest] = value
    torch.save(parts, pickle)
    config = {"width": 4, "dim": 24, "decoder_width": 96, "codebook_size": 64}
    return small(name, **config), pickle, test_bigcodec.case("tiny"), pickle


@pytest.mark.parametrize("name", NAMES)
def test_a_published_checkpoint_gives_the_published_codes(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    point, path, case, pickle = published(name, tmp_path)
    codec = adapters.load(point, weights.resolve(point, path=path))
    for tag in case.inputs():
        wave = case.arrays[f"{tag}.wave"]
        [codes] = encode(codec, [wave])
        wanted = np.atleast_2d(case.arrays[f"{tag}.codes"])[: len(codec.sizes)]
        np.testing.assert_array_equal(codes.tokens[0].indices.T, wanted)
        if len(codec.sizes) == len(np.atleast_2d(case.arrays[f"{tag}.codes"])):
            zoo.close(torch.from_numpy(codec.decode([codes])[0]), case.tensor(f"{tag}.out"))
    pickle.write_bytes(b"no pickle")
    with pytest.raises(WeightsInvalid, match=pickle.name):
        adapters.load(point, weights.resolve(point, path=path))


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_another_size_is_refused(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    _, path, _, pickle = published(name, tmp_path)
    full = cards.resolve(name)
    if name.startswith("speechtokenizer"):
        with pytest.raises(WeightsInvalid, match=r"SpeechTokenizer\.pt: .*has shape"):
            adapters.load(full, weights.resolve(full, path=pickle))
        (tmp_path / "config.json").write_text("[]")
        with pytest.raises(WeightsInvalid, match=r"config\.json: holds no settings"):
            adapters.load(full, weights.resolve(full, path=path))
    else:
        with pytest.raises(WeightsInvalid, match=f"{pickle.name} is another network"):
            adapters.load(full, weights.resolve(full, path=path))


@pytest.mark.parametrize("name", NAMES)
def test_features_and_tables_fit_the_codes(name: str, subject: Get, bursts: Signal) -> None:
    codec = subject(name).codec
    config = codec.network.config
    wave = bursts(codec.sample_rate, 1.0)[: 20 * config.hop - 1]
    tokens = encode(codec, [wave])[0].tokens[0]
    assert codec.features(wave).shape == (len(tokens.indices), config.dim) == (20, config.dim)
    tables = codec.codebooks()["codes"]
    assert [table.shape for table in tables] == [(size, config.dim) for size in tokens.sizes]
    assert len(np.unique(tokens.indices)) > 3, "a network that always says the same would test nothing"
    assert codec.feature_rate_hz == tokens.rate_hz


def test_fewer_codebooks_are_a_prefix_of_more(subject: Get, bursts: Signal) -> None:
    few, more = subject("speechtokenizer@1").codec, subject("speechtokenizer@4").codec
    wave = bursts(16000, 0.7)
    np.testing.assert_array_equal(encode(few, [wave])[0].tokens[0].indices, encode(more, [wave])[0].tokens[0].indices[:, :2])
    with pytest.raises(BadCodes, match="does not fit codebooks"):
        few.decode(encode(more, [wave]))


@pytest.mark.parametrize("name", NAMES[1:])
def test_one_codebook_converts_to_the_nearest_frames_of_the_enrolment(name: str, subject: Get, bursts: Signal) -> None:
    codec = subject(name).codec
    source, other = bursts(codec.sample_rate, 0.8, 1), bursts(codec.sample_rate, 1.2, 2) ** 3
    converted = codec.convert(source, [other, other[:5000]])
    assert converted.shape == source.shape and np.isfinite(converted).all()
    network = codec.network
    with torch.inference_mode():
        voice = torch.cat([network.embed(torch.from_numpy(wave)[None])[0] for wave in (other, other[:5000])])
        said = network.quantizer.decode(network.encode(torch.from_numpy(source)[None]))[0]
        angles = torch.nn.functional.normalize(said, dim=-1) @ torch.nn.functional.normalize(voice, dim=-1).T
        mean = voice[angles.topk(4, dim=-1).indices].mean(1)
        expected = network.decode_embedding(mean[None])[0, : len(source)]
    np.testing.assert_allclose(converted, expected.numpy(), atol=1e-5)
    assert not isinstance(subject("speechtokenizer@1").codec, Converts)


def test_settings_are_checked() -> None:
    for name, settings, said in (
        ("speechtokenizer@1", {"codebooks": 9}, "must be 1 to 8"),
        ("speechtokenizer@1", {"codebook": 2}, "codebooks"),
        ("wavtokenizer@40", {"preset": "50"}, "preset"),
        ("bigcodec", {"config": {"strids": [2]}}, "strides"),
    ):
        found = cards.resolve(name)
        settings = {"config": {"width": 4, "dim": 32}, **settings} if name != "bigcodec" else settings
        bad = dataclasses.replace(found, settings={**found.settings, **settings})
        with pytest.raises(BadCard, match=said):
            adapters.load(bad, weights.resolve(bad, "random"))
