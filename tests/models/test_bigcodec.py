"""BigCodec: names, shapes, codes and waves of the published code; checkpoints as published."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.models.bigcodec import BigCodec, BigCodecConfig, from_state_dict, infer_config
from bench.models.blocks.snake_beta import SnakeBeta, half_band
from bench.models.blocks.states import StateDictError
from tests.models import zoo

TAGS = ("tiny", "tiny_rvq3_bidirectional")
FILTERS = (".upsample.filter", ".downsample.lowpass.filter")


def rule(name: str, r: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The weights of the published code under which the reference values were made."""
    last = name.rpartition(".")[2]
    if last == "weight_g" and name.startswith("CodecEnc."):
        return 0.8 * (1 + 0.1 * np.abs(r))
    if last == "weight_g" and name.startswith("generator.model."):
        return 0.55 * (1 + 0.1 * np.abs(r))
    if name.endswith("_codebook.weight"):
        return r
    if last in ("alpha", "beta"):
        return 0.2 * r
    return None


@cache
def case(tag: str) -> zoo.Case:
    return zoo.case("bigcodec", tag)


def state(tag: str) -> dict[str, torch.Tensor]:
    return zoo.state(case(tag), rule, kept=FILTERS)


@cache
def network(tag: str) -> BigCodec:
    return from_state_dict(state(tag))


INPUTS = [(tag, name) for tag in TAGS for name in case(tag).inputs()]


@pytest.mark.parametrize(("tag", "name"), INPUTS)
@torch.inference_mode()
def test_codes_and_waves_are_those_of_the_published_code(tag: str, name: str) -> None:
    found, model = case(tag), network(tag)
    wave, codes = found.tensor(f"{name}.wave")[None], found.tensor(f"{name}.codes").long()[:, None]
    zoo.close(model.embed(wave)[0].T, found.tensor(f"{name}.emb"))
    assert torch.equal(model.encode(wave), codes)
    zoo.close(model.quantizer.decode(codes)[0].T, found.tensor(f"{name}.post"))
    zoo.close(model.decode(codes)[0], found.tensor(f"{name}.out"))
    assert codes.shape[-1] == wave.shape[-1] // model.config.hop + 1


def test_the_filter_is_the_published_one() -> None:
    torch.testing.assert_close(half_band(), case("tiny").tensor("resample_filter"), rtol=0, atol=1e-7)


@pytest.mark.parametrize("frames", [1, 2, 5, 700])
def test_the_fast_activation_is_the_plain_one(frames: int) -> None:
    torch.manual_seed(0)
    layer, x = SnakeBeta(300), 3 * torch.randn(2, 300, frames)
    with torch.no_grad():
        layer.act.alpha.normal_(std=0.3)
        layer.act.beta.normal_(std=0.3)
        fast = layer(x)
    plain = layer(x)
    assert plain.requires_grad and not fast.requires_grad
    zoo.close(fast, plain.detach(), 1e-6)


def test_the_full_model_has_the_published_names_shapes_and_parameters() -> None:
    manifest = case("full")
    empty = {name: torch.empty(shape, device="meta") for name, shape in manifest.shapes.items()}
    model = from_state_dict(empty, fold=False)
    assert model.config == infer_config(empty) == BigCodecConfig()
    assert sum(p.numel() for p in model.parameters()) == manifest.manifest["parameters"] == 159_436_290
    with pytest.raises(StateDictError, match=r"decoder\.3\.block\.1\.bias is missing"):
        from_state_dict({name: value for name, value in empty.items() if name != "generator.model.3.block.1.bias"})
    with pytest.raises(StateDictError, match=r"decoder\.99 is unknown"):
        from_state_dict(empty | {"generator.model.99": torch.empty(1)})
    with pytest.raises(StateDictError, match="not a BigCodec network"):
        from_state_dict({"weight": torch.empty(1)})


def test_settings_are_inferred_from_shapes() -> None:
    for tag in TAGS:
        encoder, decoder = case(tag).facts["encoder"], case(tag).facts["decoder"]
        assert infer_config(state(tag)) == BigCodecConfig(
            width=encoder["ngf"],
            strides=tuple(encoder["up_ratios"]),
            lstm_layers=encoder["rnn_num_layers"],
            bidirectional=encoder.get("rnn_bidirectional", False),
            dim=encoder["out_channels"],
            decoder_width=decoder["upsample_initial_channel"],
            codebooks=decoder.get("vq_num_quantizers", 1),
            codebook_size=decoder["codebook_size"],
            code_dim=decoder["codebook_dim"],
        )


def test_another_filter_is_refused() -> None:
    key = "generator.model.7.upsample.filter"
    with pytest.raises(StateDictError, match="is not the low pass"):
        from_state_dict(state("tiny") | {key: torch.full((1, 1, 12), 1 / 12)})
    assert torch.equal(from_state_dict(state("tiny") | {key: half_band().view(1, 1, 12)}).decoder[7].kernel, half_band())


@torch.inference_mode()
def test_equal_lengths_in_a_batch_are_coded_as_alone() -> None:
    model = network("tiny")
    wave = case("tiny").tensor("n3201.wave")
    batch = torch.stack([wave, wave.flip(0), 0.5 * wave])
    codes = model.encode(batch)
    for index, single in enumerate(batch):
        assert torch.equal(model.encode(single[None])[:, 0], codes[:, index])
        zoo.close(model.decode(codes)[index], model.decode(codes[:, index : index + 1])[0], 1e-5)
