"""Weights between the two ends of a run: the ends themselves, the middle, what cannot be mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from victim_train import Toy, card, draw

from bench.errors import BenchError
from bench.train import interpolate as module
from bench.train.checkpoint import load
from bench.train.command import Prepared
from bench.train.interpolate import interpolate, main
from bench.train.loop import Loop
from bench.train.settings import as_table


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished run of the toy recipe, with the average of its weights."""
    settings = card()
    Loop(settings, Toy(settings), draw, tmp_path / "run").run()
    (tmp_path / "run/card.json").write_text(json.dumps(as_table(settings)))
    return tmp_path / "run"


def at(run: Path, share: float) -> dict[str, Tensor]:
    settings = card()
    return interpolate(Toy(settings), load(run / "state.pt", settings.fingerprint), share)


def test_the_ends_are_the_ends_and_the_middle_is_their_mean(run: Path) -> None:
    first, last = Toy(card()).export(), load_file(run / "weights.safetensors")
    for name, value in at(run, 1.0).items():
        assert torch.equal(value.half(), last[name]), "the averaged weights that the run wrote"
    for name, value in at(run, 0.0).items():
        assert torch.equal(value, first[name])
        assert not torch.equal(value.half(), last[name])
    ends = at(run, 0.0), at(run, 1.0)
    for name, value in at(run, 0.25).items():
        torch.testing.assert_close(value, 0.75 * ends[0][name] + 0.25 * ends[1][name])


def test_integers_are_not_mixed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter((torch.tensor(1), torch.tensor(2)))
    monkeypatch.setattr(Toy, "export", lambda _: {"used": next(counted)})
    with pytest.raises(BenchError, match="'used' holds integers"):
        at(run, 0.5)


def test_the_command(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "prepared", lambda settings: Prepared(Toy(settings), None, [], []))  # type: ignore[arg-type]
    out = run.parent / "out"
    assert main([str(run), "--share", "0.5", "--out", str(out)]) == 0
    wanted = at(run, 0.5)
    made = load_file(out / "weights.safetensors")
    assert made.keys() == wanted.keys() and all(torch.equal(made[k], v.half()) for k, v in wanted.items())
    with safe_open(str(out / "weights.safetensors"), "pt") as file:
        notes = file.metadata()
    assert notes["share"].startswith("0.5 of the way") and notes["steps"] == "12"
    assert main([str(run), "--share", "1.5", "--out", "x"]) == 1 and "between 0 and 1" in capsys.readouterr().err
    assert main([str(run / "no"), "--share", "1", "--out", "x"]) == 1 and "no/card.json" in capsys.readouterr().err
    wider = ["--set", "model.width=9"]
    assert main([str(run), "--share", "1", "--out", "x", *wider]) == 1 and "another configuration" in capsys.readouterr().err
