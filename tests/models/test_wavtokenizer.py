"""WavTokenizer: names, shapes, codes and waves of the published code; checkpoints as published."""

from __future__ import annotations

import math
import zlib
from functools import cache, partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.models.blocks.states import StateDictError
from bench.models.wavtokenizer import PRESETS, WavTokenizer, WavTokenizerConfig, from_state_dict, infer_config
from tests.models import zoo

TAGS = ("tiny40", "tiny75")


def rule(name: str, r: NDArray[np.float64], dim: int) -> NDArray[np.float64] | None:
    """The weights of the published code under which the reference values were made."""
    last = name.rpartition(".")[2]
    if last in ("embed", "embed_avg"):
        drawn = np.random.Generator(np.random.PCG64(zlib.crc32(name.replace("embed_avg", "embed").encode())))
        return 0.3 * drawn.standard_normal(r.shape)
    if last == "cluster_size":
        return np.full_like(r, 10)
    if last == "inited":
        return np.ones_like(r)
    if last == "gamma":
        return 0.3 + 0.1 * r
    if name.endswith("scale.weight"):
        return 1 + 0.1 * r
    if name.endswith("shift.weight"):
        return 0.1 * r
    if name == "head.out.weight":
        return r / math.sqrt(dim)
    if name == "head.out.bias":
        half = len(r) // 2
        return np.concatenate([-1 + 0.2 * r[:half], 2 * r[half:]])
    return None


@cache
def case(tag: str) -> zoo.Case:
    return zoo.case("wavtokenizer", tag)


def state(tag: str) -> dict[str, torch.Tensor]:
    dim = case(tag).manifest["config"]["dim"]
    return zoo.state(case(tag), partial(rule, dim=dim), kept=("head.istft.window",))


@cache
def network(tag: str, bandwidth: int = 0) -> WavTokenizer:
    return from_state_dict(state(tag), bandwidth=bandwidth)


INPUTS = [(tag, name) for tag in TAGS for name in case(tag).inputs()]


@pytest.mark.parametrize(("tag", "name"), INPUTS)
@torch.inference_mode()
def test_codes_and_waves_are_those_of_the_published_code(tag: str, name: str) -> None:
    found, model = case(tag), network(tag)
    wave, codes = found.tensor(f"{name}.wave")[None], found.tensor(f"{name}.codes").long()[None, None]
    zoo.close(model.embed(wave)[0].T, found.tensor(f"{name}.emb"))
    assert torch.equal(model.encode(wave), codes)
    words = model.quantizer.decode(codes)
    zoo.close(model.backbone.positioned(words)[0], found.tensor(f"{name}.pos_net"))
    zoo.close(model.backbone(words)[0], found.tensor(f"{name}.backbone"))
    zoo.close(model.decode(codes)[0], found.tensor(f"{name}.out"))
    zoo.close(network(tag, 3).decode(codes)[0], found.tensor(f"{name}.out_bandwidth3"))
    assert codes.shape[-1] == math.ceil(wave.shape[-1] / model.config.hop)


@torch.inference_mode()
def test_the_full_model_gives_the_published_codes_and_wave() -> None:
    """The released shape at 40 Hz, with weights of the same rule."""
    found, model = case("full40"), network("full40")
    [name] = found.inputs()
    codes = model.encode(found.tensor(f"{name}.wave")[None])
    assert torch.equal(codes[0, 0], found.tensor(f"{name}.codes").long())
    zoo.close(model.embed(found.tensor(f"{name}.wave")[None])[0, :3].T, found.tensor(f"{name}.emb_head"))
    zoo.close(model.decode(codes)[0], found.tensor(f"{name}.out"))
    network.cache_clear()


@pytest.mark.parametrize("rate", ["40", "75"])
def test_the_full_models_have_the_published_names_shapes_and_parameters(rate: str) -> None:
    manifest = case(f"full{rate}")
    empty = {name: torch.empty(shape, device="meta") for name, shape in manifest.shapes.items()}
    model, config = from_state_dict(empty, fold=False), infer_config(empty)
    assert config == model.config == PRESETS[rate]
    unused = sum(math.prod(shape) for name, shape in manifest.shapes.items() if ".encodec.decoder." in name)
    assert unused == 8_802_274
    rows = 3 * 2 * config.backbone_dim * (1 + config.layers)  # of four bandwidths' norms, three
    assert sum(p.numel() for p in model.parameters()) == manifest.manifest["parameters"] - unused - rows
    with pytest.raises(StateDictError, match=r"backbone\.pos_net\.2\.q\.bias is missing"):
        from_state_dict({name: value for name, value in empty.items() if name != "backbone.pos_net.2.q.bias"})
    with pytest.raises(StateDictError, match=r"backbone\.more is unknown"):
        from_state_dict(empty | {"backbone.more": torch.empty(1)})
    with pytest.raises(StateDictError, match="not a WavTokenizer generator"):
        from_state_dict({"weight": torch.empty(1)})


def test_settings_are_inferred_from_shapes() -> None:
    for tag in TAGS:
        published = case(tag).manifest["config"]
        assert infer_config(state(tag)) == WavTokenizerConfig(
            ratios=tuple(published["ratios"]),
            n_fft=published["n_fft"],
            width=published["n_filters"],
            dim=published["dimension"],
            codebook_size=published["bins"],
            backbone_dim=published["dim"],
            ffn_dim=published["intermediate_dim"],
            layers=published["num_layers"],
        )


@torch.inference_mode()
def test_equal_lengths_in_a_batch_are_coded_as_alone() -> None:
    model = network("tiny75")
    wave = case("tiny75").tensor("n4801.wave")
    batch = torch.stack([wave, wave.flip(0), 0.5 * wave])
    codes = model.encode(batch)
    for index, single in enumerate(batch):
        assert torch.equal(model.encode(single[None])[:, 0], codes[:, index])
        zoo.close(model.decode(codes)[index], model.decode(codes[:, index : index + 1])[0], 1e-5)


def test_discriminators_of_a_training_checkpoint_are_left_out() -> None:
    whole = state("tiny40") | {"multiperioddisc.discriminators.0.convs.0.weight": torch.zeros(2, 2)}
    assert infer_config(whole) == from_state_dict(whole).config
