"""Stable Codec: names, shapes, codes and waves of the published code; its window; its quantization; its config file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.models.blocks import fsq
from bench.models.blocks.fsq import FSQ
from bench.models.stablecodec import (
    BOTTLENECKS,
    Bottleneck,
    ConfigError,
    StableCodec,
    StableCodecConfig,
    from_model_config,
    load,
    random_model,
)
from tests.models import zoo

CASES = ["tiny_snake", "tiny_conformer", "tiny_dilated", "full_guess"]
SMALL = StableCodecConfig(patch=20, channels=32, transformer_depths=(1, 2), sliding_window=(7, 8))


def config(values: Mapping[str, Any]) -> StableCodecConfig:
    return StableCodecConfig(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def rule(name: str, r: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if name.endswith(".scale"):
        return 0.2 + 0.05 * r
    if name.endswith("gamma"):
        return 1 + 0.1 * r
    if name.endswith("norm.beta"):
        return 0.05 * r
    if name.endswith((".alpha", ".beta")):
        return 0.2 * r
    return None


@cache
def built(tag: str) -> tuple[StableCodec, StableCodec]:
    """With the train-time and with the post-hoc bottleneck of the case."""
    found = zoo.case("stablecodec", tag)
    last = max(int(name.split(".")[2]) for name in found.shapes if name.startswith("encoder."))

    def own(name: str, r: NDArray[np.float64]) -> NDArray[np.float64] | None:
        if name == f"encoder.layers.{last}.weight_g":
            return 0.25 * (1 + 0.1 * np.abs(r))
        return rule(name, r)

    state = zoo.state(found, own, ("rope.inv_freq",))
    train = Bottleneck((FSQ(tuple(found.facts["train_time_levels"])),), double=False)
    posthoc = Bottleneck(tuple(FSQ(tuple(levels), scale) for levels, scale in found.facts["posthoc_stages"]))
    settings = config(found.manifest["config"])
    return load(state, settings, train, tag), load(state, settings, posthoc, tag)


@pytest.mark.parametrize("tag", CASES)
def test_names_shapes_and_parameters_are_the_published_ones(tag: str) -> None:
    found = zoo.case("stablecodec", tag)
    with torch.device("meta"):
        model = StableCodec(config(found.manifest["config"]), BOTTLENECKS["train"])
    ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    angles = {name: shape for name, shape in found.shapes.items() if name.endswith("rope.inv_freq")}
    assert ours | angles == found.shapes
    assert sum(parameter.numel() for parameter in model.parameters()) == found.manifest["parameters"]


def test_the_default_is_the_size_that_is_printed() -> None:
    """953 M in the codec's paper, 950 M in FocalCodec's."""
    assert config(zoo.case("stablecodec", "full_guess").manifest["config"]) == StableCodecConfig(
        sliding_window=tuple(zoo.case("stablecodec", "full_guess").manifest["config"]["sliding_window"])
    )


@pytest.mark.parametrize("tag", ["tiny_snake", "tiny_conformer"])
@torch.no_grad()
def test_parity(tag: str) -> None:
    found, (train, posthoc) = zoo.case("stablecodec", tag), built(tag)
    names = found.inputs()
    assert names
    for name in names:
        wave = found.tensor(f"{name}.wave")[None]
        latents = train.latents(wave)
        zoo.close(latents[0], found.tensor(f"{name}.latents"))
        without = found.tensor(f"{name}.latents_without_window")
        assert float((latents[0] - without).abs().max()) > 0.05, "the window must matter, or nothing tests it"
        codes = train.encode(wave)
        assert codes[0, :, 0].tolist() == found.arrays[f"{name}.codes"].tolist()
        zoo.close(train.decode(codes)[0], found.tensor(f"{name}.out"), 1e-5)
        codes = posthoc.encode(wave)
        assert codes[0].T.tolist() == found.arrays[f"{name}.posthoc_codes"].tolist()
        zoo.close(posthoc.dequantize(codes)[0], found.tensor(f"{name}.posthoc_latents"), 1e-6)
        zoo.close(posthoc.decode(codes)[0], found.tensor(f"{name}.posthoc_out"), 1e-5)


@torch.no_grad()
def test_the_window_bounds_what_a_frame_hears() -> None:
    """Blocks of queries change nothing, and a far sample changes nothing either."""
    from bench.models.stablecodec import transformer

    model = random_model(SMALL, BOTTLENECKS["2x15625"], 0)
    torch.manual_seed(3)
    wave = 0.1 * torch.randn(1, 700 * 40)
    whole, before = model.latents(wave), transformer.BLOCK
    try:
        transformer.BLOCK = 10**6
        torch.testing.assert_close(model.latents(wave), whole, rtol=0, atol=1e-5)
    finally:
        transformer.BLOCK = before
    other = wave.clone()
    other[:, :40] = 0
    changed = (model.latents(other) - whole).abs().amax((0, 1)) > 1e-6
    # One block of 7 + 8 frames before the stride of 2, two after it, and the convolutions' own reach.
    assert changed[0] and not changed[30:].any()


@torch.no_grad()
def test_odd_lengths_and_batches() -> None:
    for name, bottleneck in BOTTLENECKS.items():
        model = random_model(SMALL, bottleneck, 1)
        torch.manual_seed(2)
        wave = 0.3 * torch.randn(2, 2001)
        for length, frames in ((1, 1), (40, 1), (41, 2), (2001, 51)):
            assert model.encode(wave[:1, :length]).shape == (1, frames, len(bottleneck.stages)), name
        together = model.encode(wave)
        for row in range(2):
            alone = model.encode(wave[row : row + 1])
            assert torch.equal(alone[0], together[row])
            zoo.close(model.decode(together)[row], model.decode(alone)[0], 1e-5)
        assert len(together.unique()) > 10, "a random network that always says the same would test nothing"


def test_fsq_is_its_own_inverse_on_the_grid_and_rounds_to_the_nearest() -> None:
    for bottleneck in BOTTLENECKS.values():
        for stage in bottleneck.stages:
            tokens = torch.arange(0, stage.codes, max(1, stage.codes // 5000))
            assert torch.equal(stage.encode(stage.decode(tokens, torch.float64)), tokens)
    stage = FSQ((5, 3))
    assert stage.codes == 15 and stage.table().shape == (15, 2)
    torch.manual_seed(0)
    values = 2 * torch.rand(500, 2) - 1
    nearest = (values[:, None] - stage.table()).square().sum(-1).argmin(1)
    assert torch.equal(stage.encode(values), nearest)
    assert stage.encode(torch.tensor([[9.0, -9.0]])).tolist() == [4], "beyond the grid: its ends"
    assert stage.decode(torch.tensor(7)).tolist() == [0.0, 0.0]
    stages = BOTTLENECKS["4x729"].stages
    values = torch.tanh(torch.randn(300, 6, dtype=torch.float64))
    left = values - fsq.decode(stages, fsq.encode(stages, values), torch.float64)
    assert float(left.abs().max()) <= 0.125 / 2 + 1e-12
    with pytest.raises(ValueError, match="two or more"):
        FSQ((5, 1))


def published_config(**changes: Any) -> dict[str, Any]:
    shared = {
        "channels": 32, "latent_dim": 6, "c_mults": [1, 1], "strides": [1, 2], "transformer_depths": [1, 2],
        "sliding_window": [7, 8], "checkpointing": True,
    }  # fmt: skip
    encoder = {"type": "taae", "config": {"in_channels": 20, **shared, **changes}}
    decoder = {"type": "taae", "config": {"out_channels": 20, **shared}}
    model = {"encoder": encoder, "decoder": decoder, "pretransform": {"type": "patched", "config": {"patch_size": 20}}}
    return json.loads(json.dumps({"model_type": "autoencoder", "sample_rate": 16000, "model": model}))


def test_settings_are_read_from_the_published_file() -> None:
    assert from_model_config(published_config()) == SMALL
    for changes, said in (
        ({"differential": True}, "unknown key 'differential'"),
        ({"channels": 64}, "differ in channels: 64 and 32"),
        ({"in_channels": 40}, "differ in patch"),
        ({"conformer": True}, "differ in conformer"),
    ):
        with pytest.raises(ConfigError, match=said):
            from_model_config(published_config(**changes))
    broken = published_config()
    del broken["model"]["decoder"]["config"]["strides"]
    with pytest.raises(ConfigError, match=r"model\.decoder\.config: key 'strides' is missing"):
        from_model_config(broken)
    with pytest.raises(ConfigError, match="table 'model' is missing"):
        from_model_config({})
    other = published_config()
    other["model"]["encoder"]["type"] = "oobleck"
    with pytest.raises(ConfigError, match="'oobleck'"):
        from_model_config(other)
    with pytest.raises(ConfigError, match="one width"):
        StableCodecConfig(channels=32, c_mults=(1, 2), use_snake=True)


def test_state_dicts_as_they_are_published() -> None:
    found = zoo.case("stablecodec", "tiny_snake")
    state = zoo.state(found, rule, ("rope.inv_freq",))
    settings, bottleneck = config(found.manifest["config"]), BOTTLENECKS["2x15625"]
    extra = {"bottleneck.x": torch.zeros(1), "pretransform.y": torch.zeros(1)}
    extra["encoder.layers.1.layers.2.1.rope.inv_freq"] = torch.zeros(8)
    wrapped = {f"state_dict.{key}": value for key, value in (state | extra).items()}
    wave = 0.1 * torch.randn(1, 800)
    with torch.no_grad():
        assert torch.equal(load(wrapped, settings, bottleneck).encode(wave), load(state, settings, bottleneck).encode(wave))
    with pytest.raises(ValueError, match=r"file: decoder\.layers\.0\.bias is missing"):
        load({key: value for key, value in state.items() if key != "decoder.layers.0.bias"}, settings, bottleneck, "file")
    with pytest.raises(ValueError, match="no checkpoint of Stable Codec"):
        load({"a": torch.zeros(1)}, settings, bottleneck)
