"""Lyra, EnCodec, DAC and Mimi: shapes as published, laws of residual codebooks, weights loaded strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import adapters, cards
from bench.coding.codec import HasCodebooks, HasFeatures, HasNetwork, encode, pad, roundtrip
from bench.coding.codes import Tokens, Vector
from bench.errors import BadCard, WeightsInvalid, WeightsMissing
from bench.fetch import weights

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]
HUB = ["encodec@1.5", "dac@1", "mimi@0.69", "xcodec@1", "higgs@0.5"]
SCALAR = ["xcodec2", "neucodec"]


def indices(codec: Any, wave: NDArray[np.float32]) -> NDArray[np.int32]:
    part = encode(codec, [wave])[0].parts[0]
    assert isinstance(part, Tokens)
    return part.indices


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("encodec", 14_851_810),
        ("dac", 74_141_697),
        ("mimi", 79_308_609),
        ("xcodec", 160_698_625),
        ("higgs_audio_v2_tokenizer", 200_343_777),
        ("xcodec2", 629_281_706),
        ("neucodec", 629_937_706),
    ],
)
def test_published_shapes(name: str, count: int) -> None:
    """Parameters without codebooks kept as buffers: 15, 74 and (with 5 codebooks) 82 million in the FocalCodec paper."""
    import torch
    import torchaudio.compliance.kaldi  # noqa: F401 - NeuCodec's class imports it: on the meta device its constants would be empty
    import transformers

    from bench.adapters.hf import MODELS

    kind = MODELS[name]
    made, config = getattr(transformers, kind.model_class), getattr(transformers, kind.config_class)(**kind.official)
    with torch.device("meta"):
        network = made(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("name", HUB)
def test_features_and_codebooks_fit_the_tokens(name: str, subject: Get, bursts: Signal) -> None:
    codec = subject(name).codec
    assert isinstance(codec, HasFeatures) and isinstance(codec, HasCodebooks) and isinstance(codec, HasNetwork)
    wave = bursts(codec.sample_rate, 1.0)[: 6 * codec.frame]
    tokens = indices(codec, wave)
    assert codec.features(wave).shape[0] == len(tokens) == 6
    assert [len(table) for table in codec.codebooks()["codes"]] == list(codec.sizes)
    assert len(np.unique(tokens)) > 3, "a random network that always says the same would test nothing"


@pytest.mark.parametrize("name", SCALAR)
def test_scalars_tell_the_codes(name: str, subject: Get, bursts: Signal) -> None:
    """The features are the eight scalars before rounding: the code's own row of the table is the nearest to them."""
    codec = subject(name).codec
    wave = pad(codec, bursts(codec.sample_rate, 0.5))
    tokens = indices(codec, wave)[:, 0]
    [table] = codec.codebooks()["codes"]
    assert table.shape == (65536, 8) and len(np.unique(tokens)) > 3
    # The levels -1, -0.5, 0, 0.5 stand for -2 .. 1, which the scalars come to after a second bound.
    features = codec.features(wave)
    assert features.shape == (len(tokens), 8)
    for scalar in range(8):
        order = np.argsort(features[:, scalar], kind="stable")
        assert (np.diff(table[tokens[order], scalar]) >= 0).all(), "a larger scalar has no smaller level"


def test_neucodec_decodes_at_a_rate_of_its_own(subject: Get, bursts: Signal) -> None:
    codec = subject("neucodec").codec
    assert (codec.sample_rate, codec.output_rate) == (16000, 24000)
    source, other = bursts(16000, 0.9, 1), bursts(16000, 1.2, 2)
    codes, decoded = roundtrip(codec, source)
    assert len(decoded) == 21600 and np.abs(decoded[-400:]).max() > 0, "the last frame is coded, not filled up with zeros"
    assert codes.num_samples == 14400 and len(codec.convert(source, [other])) == 21600


@pytest.mark.parametrize("name", HUB)
def test_fewer_codebooks_are_a_prefix_of_more(name: str, subject: Get, bursts: Signal) -> None:
    made = subject(name)
    more = dataclasses.replace(made.point, settings={**made.point.settings, "codebooks": 8, "config": made.config})
    codec = adapters.load(more, weights.resolve(more, "random"))
    wave = bursts(codec.sample_rate, 0.5)
    few = indices(made.codec, wave)
    np.testing.assert_array_equal(indices(codec, wave)[:, : few.shape[1]], few)


def test_lyra_stages_are_prefixes_and_the_encoder_is_causal(subject: Get, bursts: Signal) -> None:
    codecs = [subject(name).codec for name in ("lyra@3.2", "lyra@6", "lyra@9.2")]
    wave = bursts(16000, 1.0)
    tokens = [indices(codec, wave) for codec in codecs]
    assert [each.shape for each in tokens] == [(50, 16), (50, 30), (50, 46)]
    np.testing.assert_array_equal(tokens[2][:, :16], tokens[0])
    np.testing.assert_array_equal(tokens[2][:, :30], tokens[1])
    np.testing.assert_array_equal(indices(codecs[2], wave[: 20 * 320]), tokens[2][:20])


def test_lyra_gets_closer_with_more_stages(subject: Get, bursts: Signal) -> None:
    wave = bursts(16000, 2.0)
    kept = [np.corrcoef(wave, roundtrip(subject(name).codec, wave)[1])[0, 1] for name in ("lyra@3.2", "lyra@6", "lyra@9.2")]
    assert 0.5 < kept[0] < kept[1] < kept[2]


def test_lyra_cannot_have_random_weights() -> None:
    point = cards.resolve("lyra@6")
    with pytest.raises(WeightsMissing, match="compiled graphs"):
        adapters.load(point, weights.resolve(point, "random"))


def test_encodec_sends_its_scale_and_codes_levels_alike(subject: Get, bursts: Signal) -> None:
    made = subject("encodec@1.5")
    settings = {**made.point.settings, "config": {**made.config, "normalize": True}}
    point = dataclasses.replace(made.point, settings=settings)
    codec = adapters.load(point, weights.resolve(point, "random"))
    wave = bursts(24000, 0.5)
    [quiet], [loud] = encode(codec, [wave / 4]), encode(codec, [wave])
    assert isinstance(quiet.parts[1], Vector)
    assert quiet.payload_bits == quiet.parts[0].bits + 16
    np.testing.assert_array_equal(quiet.parts[0].indices, loud.parts[0].indices)  # type: ignore[union-attr]
    assert 4 * float(quiet.parts[1].values[0]) == pytest.approx(float(loud.parts[1].values[0]), rel=2e-3)  # type: ignore[union-attr]
    np.testing.assert_allclose(4 * codec.decode([quiet])[0], codec.decode([loud])[0], rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize("name", [*HUB, *SCALAR])
def test_a_saved_folder_loads_strictly(name: str, subject: Get, bursts: Signal, tmp_path: Path) -> None:
    import safetensors.torch

    made = subject(name)
    made.codec.networks()["model"].save_pretrained(tmp_path)
    point = cards.resolve(name)
    codec = adapters.load(point, weights.resolve(point, path=tmp_path))
    wave = bursts(codec.sample_rate, 0.5)
    np.testing.assert_array_equal(indices(codec, wave), indices(made.codec, wave))

    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    dropped = next(key for key in state if "decoder." in key)
    state.pop(dropped)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsInvalid, match=r"missing or misshapen.*decoder\."):
        adapters.load(point, weights.resolve(point, path=tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsMissing, match=r"config\.json"):
        adapters.load(point, weights.resolve(point, path=tmp_path))


def test_settings_are_checked() -> None:
    point = cards.resolve("dac@1")
    for settings, said in (
        ({"model": "dac", "codebooks": 1, "codebook": 2}, "codebooks"),
        ({"model": "dac"}, "'codebooks' is missing"),
        ({"model": "dca", "codebooks": 1}, "dac"),
        ({"model": "dac", "codebooks": 13, "config": {"encoder_hidden_size": 4, "decoder_hidden_size": 48}}, "1 to 12"),
    ):
        with pytest.raises(BadCard, match=said):
            adapters.load(dataclasses.replace(point, settings=settings), weights.resolve(point, "random"))
