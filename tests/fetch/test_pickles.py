"""Official checkpoints: the tensors come through unchanged, once, and nothing of a pickle is run."""

from __future__ import annotations

import argparse
import pathlib
import pickle
import sys
import types
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from bench.content import file_sha256
from bench.errors import WeightsInvalid
from bench.fetch import pickles


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(path: Path, value: Any, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor(1.5), "b.index": torch.tensor([1, 2, 3])}


def equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[key].dtype == value.dtype and torch.equal(found[key], value) for key, value in expected.items()
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_a_flat_state_dict_keeps_names_types_and_values(zipped: bool, tmp_path: Path) -> None:
    state = {**STATE, "half": torch.ones(2, dtype=torch.bfloat16), "view": torch.arange(9).reshape(3, 3).T}
    path = save(tmp_path / "SpeechTokenizer.pt", OrderedDict(state), _use_new_zipfile_serialization=zipped)
    assert equal(load_file(pickles.as_safetensors(path)), state)


def test_nested_dictionaries_give_dotted_names(tmp_path: Path) -> None:
    path = save(tmp_path / "g_00200000", {"encoder": {"x": STATE["a.bias"]}, "generator": {"y.z": STATE["b.index"]}, "steps": 7})
    assert equal(load_file(pickles.as_safetensors(path)), {"encoder.x": STATE["a.bias"], "generator.y.z": STATE["b.index"]})


def test_tensors_that_share_memory_are_both_kept(tmp_path: Path) -> None:
    one = torch.ones(4)
    path = save(tmp_path / "tied.pt", {"in": one, "out": one, "part": one[:2]})
    assert equal(load_file(pickles.as_safetensors(path)), {"in": one, "out": one, "part": one[:2]})


def module(name: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> type:
    """A class as though it came from the package that `name` says."""
    package, _, own = name.rpartition(".")
    made = type(own, (kind,), {"__module__": package})
    parts = package.split(".")
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
    setattr(sys.modules[package], own, made)
    return made


def test_what_lightning_leaves_in_a_checkpoint_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = module("pytorch_lightning.utilities.parsing.AttributeDict", dict, monkeypatch)
    callback = module("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", object, monkeypatch)
    settings = attributes(rate=24000, folder=pathlib.PosixPath("/data/x"), names=argparse.Namespace(steps=3))
    counts: defaultdict[str, Any] = defaultdict(list)
    counts["loss"] = [np.float64(0.5)]
    held = {"state_dict": {"backbone.w": STATE["a.weight"], "head.b": STATE["a.bias"], "disc.w": torch.zeros(100)},
            "hyper_parameters": settings, "callbacks": {callback: {"best": np.float64(1.0)}}, "counts": counts,
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}], "epoch": 3}  # fmt: skip
    path = save(tmp_path / "model.ckpt", held)
    found = load_file(pickles.as_safetensors(path, inside="state_dict", keep=("backbone.", "head.")))
    assert equal(found, {"backbone.w": STATE["a.weight"], "head.b": STATE["a.bias"]})


def test_a_state_dict_of_a_named_class_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = module("lightning_fabric.utilities.data.AttributeDict", dict, monkeypatch)
    path = save(tmp_path / "model.ckpt", attributes(attributes(STATE)))
    assert equal(pickles.tensors(path), STATE)


class Trap:
    """Writes a file when it is unpickled by an ordinary unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_named_and_not_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    path = save(tmp_path / "evil.pt", {**STATE, "trap": Trap(sprung)})
    with pytest.raises(WeightsInvalid, match=r"evil\.pt: its pickle names .*not run.*WEIGHTS=FILE") as caught:
        pickles.as_safetensors(path)
    assert not sprung.exists() and "\n" not in str(caught.value)
    (tmp_path / "os.pt").write_bytes(pickle.dumps({"x": __import__("os").system}, protocol=2))
    with pytest.raises(WeightsInvalid, match=r"os\.pt"):
        pickles.as_safetensors(tmp_path / "os.pt")


@pytest.mark.parametrize("name", sorted(pickles.STAND_INS))
def test_a_stand_in_runs_nothing_whatever_it_is_given(name: str, tmp_path: Path) -> None:
    stand_in: Any = pickles.STAND_INS[name]
    made = stand_in("touch /tmp/x", 1, None)
    assert type(made) in (pickles.Nothing, OrderedDict) and not getattr(made, "__dict__", None)


@pytest.mark.parametrize("body", [b"", b"no pickle", b"PK\x03\x04 cut", b"\x80\x02}q\x00X\x01"])
def test_a_damaged_checkpoint_is_one_line(body: bytes, tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(body)
    with pytest.raises(WeightsInvalid, match=r"cut\.pt: cannot be read as a checkpoint") as caught:
        pickles.as_safetensors(tmp_path / "cut.pt")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_cut_short_is_one_line(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.pt", STATE).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsInvalid, match=r"cut\.pt"):
        pickles.as_safetensors(tmp_path / "cut.pt")


def test_a_dictionary_or_names_that_are_not_there_are_told(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", {"model": STATE})
    with pytest.raises(WeightsInvalid, match=r"no dictionary 'state_dict' inside; there are: model"):
        pickles.as_safetensors(path, inside="state_dict")
    with pytest.raises(WeightsInvalid, match=r"no tensors whose names begin with decoder\."):
        pickles.as_safetensors(path, keep=("decoder.",))
    with pytest.raises(WeightsInvalid, match="holds no tensors"):
        pickles.as_safetensors(save(tmp_path / "y.pt", {"epoch": 3}))


def test_conversion_happens_once_and_gives_the_same_bytes_everywhere(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "x.pt", STATE)
    first = pickles.as_safetensors(path)
    digest = file_sha256(first)
    with safe_open(first, "pt") as file:
        assert file_sha256(path) in file.metadata()["source"]
    with monkeypatch.context() as patch:
        patch.setattr(pickles, "_load", lambda path: pytest.fail("converted twice"))
        assert pickles.as_safetensors(path) == first
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "elsewhere"))
    assert file_sha256(pickles.as_safetensors(path)) == digest
    assert pickles.as_safetensors(path, keep=("a.",)).parent != first.parent
    assert pickles.as_safetensors(first) == first, "what is safetensors already is handed back"


def test_a_converted_file_that_was_changed_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "x.pt", STATE)
    made = pickles.as_safetensors(path)
    body = bytearray(made.read_bytes())
    body[-1] ^= 1
    made.write_bytes(body)
    assert equal(load_file(pickles.as_safetensors(path)), STATE)
    assert "made anew" in capsys.readouterr().err
