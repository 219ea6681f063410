"""Loading FocalCodec checkpoints: old layout, shapes, files, hashes, and errors that name what is wrong."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.content import file_sha256
from bench.models.blocks import fast_linear, int8
from bench.models.blocks.stored import PRECISIONS
from bench.models.focalcodec import PRESETS, FocalCodec, FocalCodecConfig, reading
from bench.models.focalcodec.checkpoint import CheckpointError, load, load_files, save
from bench.models.focalcodec.layout import complete_config, modern_keys

TINY = ("tiny_50hz", "tiny_12_5hz", "tiny_options", "tiny_causal", "tiny_causal_lookahead0")


@pytest.fixture
def folder(reference: Path) -> Path:
    return reference / "focalcodec"


def test_old_layout_gives_the_recorded_tokens_and_wave(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "tiny_hub_v001.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(record["config_v001_as_on_hub"]))
    (tmp_path / "model.safetensors").write_bytes((folder / "tiny_hub_v001.weights.safetensors").read_bytes())
    codec = load(tmp_path)
    assert codec.config == FocalCodecConfig.from_dict(record["config_v002"])
    tensors = load_file(folder / "tiny_hub_v001.tensors.safetensors")
    with torch.inference_mode():
        toks = codec.sig_to_toks(tensors["sig"])
        assert torch.equal(toks, tensors["toks"])
        torch.testing.assert_close(codec(tensors["sig"])[2], tensors["rec_sig"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["50hz", "25hz", "12_5hz"])
def test_published_key_list_maps_to_ours(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifests" / f"focalcodec_{name}.hub_v001.json").read_text())
    with torch.device("meta"):
        old = {entry["name"]: torch.empty(entry["shape"]) for entry in manifest["state_dict"]}
        wanted = FocalCodec.from_config(name).state_dict()
    found = modern_keys(old)
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in wanted.items()}


@pytest.mark.parametrize("name", PRESETS)
def test_published_shapes_alone_give_the_config(name: str) -> None:
    with torch.device("meta"):
        state = FocalCodec.from_config(name).state_dict()
    completed = complete_config({}, {key: value.shape for key, value in state.items()})
    assert FocalCodecConfig.from_dict(completed) == PRESETS[name]


@pytest.mark.parametrize("name", TINY)
def test_silent_config_is_completed_from_shapes(folder: Path, name: str) -> None:
    config = json.loads((folder / f"{name}.json").read_text())["config"]
    # What no shape tells, a config must say.
    kept = {"encoder_config": ("max_distance", "window_size", "lookahead_size"), "decoder_config": ("hop_length", "causal")}
    kept |= {"compressor_config": ("normalize_modulator",), "decompressor_config": ("normalize_modulator",)}
    silent = {part: {key: config[part][key] for key in keys if key in config[part]} for part, keys in kept.items()}
    shapes = {key: value.shape for key, value in load_file(folder / f"{name}.weights.safetensors").items()}
    found = FocalCodecConfig.from_dict(complete_config(silent, shapes))
    expected = FocalCodecConfig.from_dict(config)
    with torch.device("meta"):
        for left, right in zip(FocalCodec(found).parameters(), FocalCodec(expected).parameters(), strict=True):
            assert left.shape == right.shape
    assert found.encoder == expected.encoder
    assert found.decoder == expected.decoder


def test_self_contained_half_precision_file(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "tiny_25hz.json").read_text())["config"]
    codec = FocalCodec.from_config(config)
    codec.load_state_dict(load_file(folder / "tiny_25hz.weights.safetensors"))
    save(codec, tmp_path / "nano.safetensors", dtype=torch.float16, metadata={"note": "for a test"})
    again = FocalCodec.from_pretrained(tmp_path / "nano.safetensors", sha256=file_sha256(tmp_path / "nano.safetensors"))
    assert again.config == codec.config
    assert not again.training
    for (name, left), right in zip(again.state_dict().items(), codec.state_dict().values(), strict=True):
        assert left.dtype == torch.float32, name
        assert torch.equal(left, right.half().float())


def test_overrides_reach_the_config(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "tiny_causal.json").read_text())["config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = folder / "tiny_causal.weights.safetensors"
    codec = load_files(weights, tmp_path / "config.json", overrides={"encoder_config.window_size": 32})
    assert codec.config.encoder.window_size == 32
    assert codec.config.compressor.window_size == 16


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "tiny_50hz.json").read_text())["config"]
    state = load_file(folder / "tiny_50hz.weights.safetensors")
    del state["encoder.norm.bias"]
    state["decoder.head.proj.bias"] = torch.zeros(7)
    state["extra.weight"] = torch.zeros(1)
    state["compressor.out_proj.bias"][2] = torch.nan
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as error:
        load(tmp_path)
    for expected in (
        "missing: encoder.norm.bias (12,)",
        "misshapen: decoder.head.proj.bias is (7,), the config asks for (1026,)",
        "not known: extra.weight",
        "not finite: compressor.out_proj.bias",
    ):
        assert expected in str(error.value)


def test_files_that_are_not_what_they_should_be(folder: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes((folder / "tiny_50hz.weights.safetensors").read_bytes())
    good = file_sha256(weights)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="changed or cut short"):
        load(tmp_path, sha256=good)
    weights.write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="no weights at"):
        load(tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError, match=r"only \.safetensors"):
        (tmp_path / "model.pt").write_bytes(b"")
        load(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="exactly one"):
        (tmp_path / "other.safetensors").write_bytes(b"")
        load(tmp_path)
    with pytest.raises(CheckpointError, match="none of 50hz"):
        load("75hz")


def test_without_network_the_error_says_what_and_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(CheckpointError, match=r"lucadellalib/focalcodec_25hz/config.json .* give a folder"):
        load("lucadellalib/focalcodec_25hz")


def test_a_codec_may_lie_in_several_files(tmp_path: Path) -> None:
    small = {"encoder_config.num_layers": 1, "decoder_config.num_layers": 1, "decoder_config.dim": 32}
    codec = FocalCodec.from_config("25hz", small, seed=3)
    texts = {"config": json.dumps(codec.config.to_dict())}
    state = codec.state_dict()
    shared = {key: value for key, value in state.items() if key.startswith(("encoder.", "decoder."))}
    save_file(shared, tmp_path / "base.safetensors")
    save_file({key: value for key, value in state.items() if key not in shared}, tmp_path / "own.safetensors", texts)
    both = load_files([tmp_path / "base.safetensors", tmp_path / "own.safetensors"])
    assert both.config == codec.config
    for key, value in both.state_dict().items():
        assert torch.equal(value, state[key])
    with pytest.raises(CheckpointError, match=r"missing: encoder\."):
        load_files([tmp_path / "own.safetensors"])


SMALL = {"encoder_config.num_layers": 2, "encoder_config.ffn_dim": 256, "decoder_config.num_layers": 1, "decoder_config.dim": 64}


def written(path: Path, kind: str) -> FocalCodec:
    """A small codec, and its file: in float32, in float16, or in 8 bits."""
    codec = FocalCodec.from_config("50hz", SMALL, seed=3)
    save(codec, path, dtype=torch.float16 if kind == "half" else torch.float32)
    if kind == "int8":
        texts = {"config": json.dumps(codec.config.to_dict())}
        save_file(int8.pack(codec.state_dict()), path, texts)
    return codec


@pytest.mark.parametrize("kind", ["float", "half", "int8"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_precision_from_the_start_is_that_of_the_whole_network(kind: str, precision: str, tmp_path: Path) -> None:
    written(tmp_path / "a.safetensors", kind)
    sig = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    whole, direct = load_files(tmp_path / "a.safetensors"), load_files(tmp_path / "a.safetensors", precision=precision)
    fast_linear.store(whole, precision)
    names = [[bool(layer.stored) for layer in fast_linear.layers_of(codec)] for codec in (whole, direct)]
    assert names[0] == names[1] and any(names[0])
    with torch.inference_mode():
        for one, other in zip(whole(sig), direct(sig), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("kind", ["float", "half", "int8"])
def test_one_large_tensor_at_a_time(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a precision, a large matrix in float32 is gone before the next one is read."""
    written(tmp_path / "a.safetensors", kind)
    read, large, alive = reading.Tensors.read, [], []

    def watched(self: reading.Tensors, keep_maps: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
        for name, value in read(self, keep_maps):
            gc.collect()
            alive.extend(known for known, one in large if one() is not None)
            if value.numel() >= fast_linear.SMALLEST:
                large.append((name, weakref.ref(value)))
            yield name, value
            del value

    monkeypatch.setattr(reading.Tensors, "read", watched)
    gc.collect()
    gc.freeze()  # what other tests left is not looked through again for every tensor
    try:
        load_files(tmp_path / "a.safetensors", precision="int8")
    finally:
        gc.unfreeze()
    assert len(large) > 20 and not alive
