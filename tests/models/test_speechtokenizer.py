"""SpeechTokenizer: names, shapes, codes and waves of the published code; checkpoints as published."""

from __future__ import annotations

import math
import zlib
from functools import cache, partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.models.blocks.states import StateDictError
from bench.models.speechtokenizer import SpeechTokenizer, SpeechTokenizerConfig, from_state_dict
from tests.models import zoo

TAGS = ("tiny", "tiny_snake")


def rule(name: str, r: NDArray[np.float64], tag: str = "") -> NDArray[np.float64] | None:
    """The weights of the published code under which the reference values were made."""
    start, step = {"tiny": (0.25, 0.8), "tiny_snake": (0.3, 0.8)}[tag]
    last = name.rpartition(".")[2]
    if last in ("embed", "embed_avg"):
        drawn = np.random.Generator(np.random.PCG64(zlib.crc32(name.replace("embed_avg", "embed").encode())))
        return start * step ** int(name.split(".")[3]) * drawn.standard_normal(r.shape)
    if last == "cluster_size":
        return np.full_like(r, 10)
    if last == "inited":
        return np.ones_like(r)
    if last == "alpha":
        return 1 + 0.2 * r
    if last == "weight_g" and tag == "tiny_snake":
        return 0.8 * (1 + 0.1 * np.abs(r))
    return None


@cache
def case(tag: str) -> zoo.Case:
    return zoo.case("speechtokenizer", tag)


@cache
def state(tag: str) -> dict[str, torch.Tensor]:
    return zoo.state(case(tag), partial(rule, tag=tag))


@cache
def network(tag: str, fold: bool = True) -> SpeechTokenizer:
    return from_state_dict(state(tag), SpeechTokenizerConfig.from_published(case(tag).facts["config"]), fold=fold)


INPUTS = [(tag, name) for tag in TAGS for name in case(tag).inputs()]


@pytest.mark.parametrize(("tag", "name"), INPUTS)
@torch.inference_mode()
def test_codes_and_waves_are_those_of_the_published_code(tag: str, name: str) -> None:
    found, model = case(tag), network(tag)
    wave, codes = found.tensor(f"{name}.wave")[None], found.tensor(f"{name}.codes").long()[:, None]
    zoo.close(model.embed(wave)[0].T, found.tensor(f"{name}.emb"))
    assert torch.equal(model.encode(wave), codes)
    assert torch.equal(model.encode(wave, 3, first=1)[:, 0], found.tensor(f"{name}.codes_n_q3_st1").long())
    zoo.close(model.decode(codes)[0], found.tensor(f"{name}.out"))
    zoo.close(model.decode(codes[:1])[0], found.tensor(f"{name}.out_first_only"))
    zoo.close(model.decode(codes[1:], first=1)[0], found.tensor(f"{name}.out_from_second"))
    zoo.close(model.semantic(codes)[0], found.tensor(f"{name}.semantic_feature"))
    assert codes.shape[-1] == math.ceil(wave.shape[-1] / model.config.hop)


def test_the_full_model_has_the_published_names_shapes_and_parameters() -> None:
    manifest = zoo.case("speechtokenizer", "full")
    config = SpeechTokenizerConfig.from_published(manifest.manifest["config"])
    assert config == SpeechTokenizerConfig()
    empty = {name: torch.empty(shape, device="meta") for name, shape in manifest.shapes.items()}
    model = from_state_dict(empty, config, fold=False)
    assert sum(p.numel() for p in model.parameters()) == manifest.manifest["parameters"] == 103_675_586
    assert len(model.state_dict()) == manifest.manifest["tensors"]
    for key in ("encoder.model.13.lstm.weight_hh_l1_reverse", "transform.bias"):
        with pytest.raises(StateDictError, match=f"{key} is missing"):
            from_state_dict({name: value for name, value in empty.items() if name != key}, config)
    with pytest.raises(StateDictError, match=r"decoder\.model\.99 is unknown"):
        from_state_dict(empty | {"decoder.model.99": torch.empty(1)}, config)


@torch.inference_mode()
def test_folded_weights_give_the_same_values() -> None:
    wave = case("tiny").tensor("n4801.wave")[None]
    split, folded = network("tiny", fold=False), network("tiny")
    assert torch.equal(split.embed(wave), folded.embed(wave))
    assert not any(name.endswith(("weight_g", "weight_v")) for name, _ in folded.named_parameters())


@torch.inference_mode()
def test_equal_lengths_in_a_batch_are_coded_as_alone() -> None:
    model = network("tiny")
    wave = case("tiny").tensor("n4801.wave")
    batch = torch.stack([wave, wave.flip(0), 0.5 * wave])
    codes = model.encode(batch)
    for index, single in enumerate(batch):
        assert torch.equal(model.encode(single[None])[:, 0], codes[:, index])
        zoo.close(model.decode(codes)[index], model.decode(codes[:, index : index + 1])[0], 1e-5)


def test_config_json_is_checked() -> None:
    published = dict(case("tiny").facts["config"])
    assert SpeechTokenizerConfig.from_published(published | {"learning_rate": 1e-4}).width == 4
    with pytest.raises(ValueError, match="activation is 'GELU', must be one of ELU, Snake"):
        SpeechTokenizerConfig.from_published(published | {"activation": "GELU"})
    published.pop("n_q")
    with pytest.raises(ValueError, match=r"config\.json has no key 'n_q'"):
        SpeechTokenizerConfig.from_published(published)
