"""TiCodec and HiFi-Codec: names, shapes, codes and waves of the published code; checkpoints as published."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.models.ticodec import TICODEC, TiCodec, TiCodecConfig, load, random_model
from bench.models.ticodec.checkpoint import UNUSED
from bench.models.ticodec.model import Streams
from tests.models import zoo

CASES = [("ticodec", "full_1g1r"), ("ticodec", "full_1g4r"), ("ticodec", "small_2g2r"), ("hificodec", "full_16k_320d")]
SMALL = dataclasses.replace(TICODEC, channels=16, codes=64, groups=2, layers=2, block_kernels=(3,))


def config(values: Mapping[str, Any]) -> TiCodecConfig:
    return TiCodecConfig(
        sample_rate=values["sampling_rate"],
        strides=tuple(values["upsample_rates"]),
        kernels=tuple(values["upsample_kernel_sizes"]),
        block_kernels=tuple(values["resblock_kernel_sizes"]),
        dilations=tuple(values["resblock_dilation_sizes"][0]),
        groups=values["n_code_groups"],
        layers=values.get("residul_layer", 2),
        codes=values["n_codes"],
        global_codes=values.get("global_code_num", 0),
    )


def ticodec_rule(name: str, r: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if "quantizer_modules_globaltokens" in name:
        return 0.3 * r
    if "quantizer_modules" in name:
        layer = name.split("quantizer_modules")[1].split(".")[0]
        return 0.1 * 0.7 ** (int(layer) - 1 if layer else 0) * r
    if name.endswith("running_mean"):
        return 0.1 * r
    if name.endswith("running_var"):
        return np.abs(1 + 0.2 * r) + 0.1
    if "resblocks" in name and name.endswith("weight_g"):
        return 0.4 * (1 + 0.1 * np.abs(r))
    return None


@cache
def built(codec: str, tag: str) -> TiCodec:
    found = zoo.case(codec, tag)
    state = zoo.state(found, ticodec_rule)
    state |= {name: torch.tensor(0) for name in found.shapes if name.endswith("num_batches_tracked")}
    return load(state, config(found.manifest["config"]), f"{codec}/{tag}")


@pytest.mark.parametrize(("codec", "tag"), CASES)
def test_names_shapes_and_parameters_are_the_published_ones(codec: str, tag: str) -> None:
    found = zoo.case(codec, tag)
    with torch.device("meta"):
        model = TiCodec(config(found.manifest["config"]))
    ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    unused = {name: shape for name, shape in found.shapes.items() if name.startswith("encoder.linear.")}
    assert ours | unused == found.shapes
    count = sum(parameter.numel() for parameter in model.parameters()) + sum(int(np.prod(s)) for s in unused.values())
    assert count == found.manifest["parameters"]


@pytest.mark.parametrize(("codec", "tag"), [c for c in CASES if c[1] != "small_2g2r"])
@torch.no_grad()
def test_parity(codec: str, tag: str) -> None:
    found, model = zoo.case(codec, tag), built(codec, tag)
    names = found.inputs()
    assert names
    for name in names:
        wave = found.tensor(f"{name}.wave")[None]
        latent, vector = model.encoder(wave[:, None])
        streams = model.encode(wave)
        local = "codes" if codec == "hificodec" else "local_codes"
        assert streams.local[0].tolist() == found.arrays[f"{name}.{local}"].tolist()
        emb = found.tensor(f"{name}.{'emb_head' if codec == 'hificodec' else 'emb'}")
        zoo.close(latent[0, :, : emb.shape[1]], emb)
        if codec == "ticodec":
            assert vector is not None and streams.once is not None
            zoo.close(vector[0], found.tensor(f"{name}.global_features"))
            assert streams.once[0].tolist() == found.arrays[f"{name}.global_codes"].tolist()
            zoo.close(model.quantizer.decode_global(streams.once)[0], found.tensor(f"{name}.global_quantized"))
        zoo.close(model.decode(streams)[0], found.tensor(f"{name}.out"), 1e-5)


@torch.no_grad()
def test_odd_lengths_and_batches() -> None:
    model = random_model(SMALL, 0)
    torch.manual_seed(1)
    wave = 0.1 * torch.randn(3, 6000)
    for length, frames in ((961, 3), (3001, 9), (4001, 12), (4801, 15)):
        assert model.encode(wave[:1, :length]).local.shape == (1, frames, 4)
    together = model.encode(wave)
    assert together.once is not None
    for row in range(3):
        alone = model.encode(wave[row : row + 1])
        assert alone.once is not None
        assert torch.equal(alone.local[0], together.local[row]) and torch.equal(alone.once[0], together.once[row])
    zoo.close(model.decode(together)[1:2], model.decode(Streams(together.local[1:2], together.once[1:2])), 1e-6)
    assert len(together.local.unique()) > 10, "a random network that always says the same would test nothing"


def test_unused_names_are_exactly_the_linear_layer() -> None:
    assert [p.replace("\\", "") for p in UNUSED] == ["encoder.linear.0.(weight|bias)"]
