"""WavLM6-KM: names, shapes, codes and waves of the published code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.models.focalcodec.config import EncoderConfig
from bench.models.wavlm6km import DequantizerConfig, WavLMKM, WavLMKMConfig, load, random_model
from bench.models.wavlm6km.checkpoint import from_published, from_transformers
from bench.models.wavlm6km.model import sinusoids
from tests.models import zoo

CASES = ["tiny", "tiny_layers_1_2_3", "full"]
SMALL = WavLMKMConfig(
    layers=(1, 2),
    codes=32,
    encoder=EncoderConfig(hidden_dims=(16,) * 7, num_layers=2, dim=32, ffn_dim=64, num_heads=4, conv_pos=16, conv_pos_groups=4),
    dequantizer=DequantizerConfig(dim=16, num_layers=1, ffn_dim=16),
    vocoder_channels=32,
)


def config(values: Mapping[str, Any]) -> WavLMKMConfig:
    wavlm, dequantizer = values["wavlm"], values["dequantizer"]
    encoder = EncoderConfig(
        hidden_dims=tuple(wavlm.get("conv_dim", (512,) * 7)),
        num_layers=values["layer_ids"][-1],
        dim=wavlm["hidden_size"],
        ffn_dim=wavlm["intermediate_size"],
        num_heads=wavlm["num_attention_heads"],
        num_buckets=wavlm["num_buckets"],
        max_distance=wavlm["max_bucket_distance"],
        conv_pos=wavlm["num_conv_pos_embeddings"],
        conv_pos_groups=wavlm["num_conv_pos_embedding_groups"],
    )
    return WavLMKMConfig(
        layers=tuple(values["layer_ids"]),
        codes=values["clusters"],
        encoder=encoder,
        dequantizer=DequantizerConfig(dequantizer["d_model"], dequantizer["nhead"], dequantizer["layers"], dequantizer["d_ffn"]),
        vocoder_channels=values["vocoder"]["channels"],
    )


def split(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the three published state dicts, that of WavLM)"""
    prefix = "enc.model."
    ours = {key: value for key, value in state.items() if not key.startswith(prefix)}
    return ours, {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def rule(scale: float) -> zoo.OwnRule:
    def own(name: str, r: NDArray[np.float64]) -> NDArray[np.float64] | None:
        if name.endswith("centroids"):
            return scale * r
        if name.endswith(("frontend.weight", "backend.weight", "in_proj.weight")) and "att" not in name:
            return 1 + 0.1 * r
        if name.startswith("vocoder.") and name.endswith("original0"):
            return 0.6 * (1 + 0.1 * np.abs(r))
        if "pos_conv_embed" in name and name.endswith("original0"):
            return 1 + 0.1 * np.abs(r)
        return None

    return own


@cache
def built(tag: str) -> WavLMKM:
    found = zoo.case("wavlm6km", tag)
    state = zoo.state(found, rule(found.manifest["config"]["centroid_scale"]), ("positional_encoding.pe",))
    return load(*split(state), config(found.manifest["config"]), tag)


@pytest.mark.parametrize("tag", CASES)
def test_names_shapes_and_parameters_are_the_published_ones(tag: str) -> None:
    found = zoo.case("wavlm6km", tag)
    settings = config(found.manifest["config"])
    with torch.device("meta"):
        model = WavLMKM(settings)
        published, wavlm = split({name: torch.empty(shape) for name, shape in found.shapes.items()})
        renamed = {f"encoder.{name}": value for name, value in from_transformers(wavlm, settings.layers[-1]).items()}
        renamed |= from_published(published)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in renamed.items()} == shapes
    parameters = {entry["name"]: int(np.prod(entry["shape"])) for entry in found.manifest["state_dict"] if entry["param"]}
    assert sum(parameters.values()) == found.manifest["parameters"]
    # Not ours: the mask's embedding, the layers after the last one sent, the final norm, and the lengths of one weight.
    encoder = "enc.model.encoder."
    dropped = sum(
        size
        for name, size in parameters.items()
        if name.endswith(("masked_spec_embed", "pos_conv_embed.conv.parametrizations.weight.original0"))
        or name.startswith(f"{encoder}layer_norm.")
        or (name.startswith(f"{encoder}layers.") and int(name.split(".")[4]) >= settings.layers[-1])
    )
    assert sum(parameter.numel() for parameter in model.parameters()) + dropped == found.manifest["parameters"]


@pytest.mark.parametrize("tag", ["tiny", "full"])
@torch.no_grad()
def test_parity(tag: str) -> None:
    found, model = zoo.case("wavlm6km", tag), built(tag)
    names = found.inputs()
    assert names
    for name in names:
        wave = found.tensor(f"{name}.wave")[None]
        feats, codes = model.sig_to_feats(wave), model.encode(wave)
        assert codes[0].tolist() == found.arrays[f"{name}.codes"].tolist()
        hidden = found.tensor(f"{name}.hidden")
        zoo.close(feats[0, : len(hidden)], hidden)
        dequantized = found.tensor(f"{name}.dequantized")
        zoo.close(model.dequantize(codes)[0, : len(dequantized)], dequantized)
        zoo.close(model.decode(codes)[0], found.tensor(f"{name}.out"), 1e-5)
        if f"{name}.quantized" in found.arrays:
            assert torch.equal(model.quantizer.decode(codes)[0], found.tensor(f"{name}.quantized"))
            zoo.close(model.vocoder(feats)[0], found.tensor(f"{name}.out_continuous"), 1e-5)


def test_positions_are_the_published_table() -> None:
    """The rule of the table that is left out of checkpoints: pos * exp(-2i ln(10000) / dim)."""
    table = sinusoids(2000, 512).double()
    position, column = 1234, 10
    angle = position * np.exp(-2 * column * np.log(10000) / 512)
    np.testing.assert_allclose(table[position, 2 * column : 2 * column + 2], [np.sin(angle), np.cos(angle)], atol=1e-3)
    assert table[0, ::2].abs().max() == 0 and table[0, 1::2].min() == 1


@torch.no_grad()
def test_odd_lengths_batches_and_long_signals() -> None:
    model = random_model(SMALL, 0)
    torch.manual_seed(1)
    wave = 0.1 * torch.randn(2, 8000)
    for length, frames in ((1360, 4), (1679, 4), (1680, 5), (8000, 24)):
        codes = model.encode(wave[:1, :length])
        assert codes.shape == (1, frames, 2)
        assert model.decode(codes).shape == (1, 320 * frames)
    together = model.encode(wave)
    assert len(together.unique()) > 5, "a random network that always says the same would test nothing"
    for row in range(2):
        alone = model.encode(wave[row : row + 1])
        assert torch.equal(alone[0], together[row])
        zoo.close(model.decode(together)[row], model.decode(alone)[0], 1e-5)
    # The published table of positions ends at 2000 frames; ours goes on.
    assert model.dequantize(torch.zeros(1, 2010, 2, dtype=torch.long)).shape == (1, 2010, 32, 2)


def test_what_does_not_fit_is_named() -> None:
    found = zoo.case("wavlm6km", "tiny")
    state = zoo.state(found, rule(2.5), ("positional_encoding.pe",))
    published, wavlm = split(state)
    settings = config(found.manifest["config"])
    for missing, said in (("vocoder.conv_pre.conv.bias", r"vocoder\.generator\.conv_pre\.bias is missing"),
                          ("quantizer.kmeanss.0.centroids", "quantizer.centroids is missing")):  # fmt: skip
        part = {key: value for key, value in published.items() if key != missing}
        with pytest.raises(ValueError, match=f"files: {said}"):
            load(part, wavlm, settings, "files")
    with pytest.raises(ValueError, match=r"quantizer\.more is unknown"):
        load({**published, "quantizer.more": torch.zeros(1)}, wavlm, settings)
    part = {key: value for key, value in wavlm.items() if not key.endswith("layers.1.attention.k_proj.weight")}
    with pytest.raises(ValueError, match=r"q_proj\.weight is unknown|qkv_proj\.weight is missing"):
        load(published, part, settings)
    with pytest.raises(ValueError, match="different numbers"):
        dataclasses.replace(SMALL, layers=(2, 1))
    with pytest.raises(ValueError, match="layer 3 is to be sent"):
        dataclasses.replace(SMALL, layers=(1, 3))
