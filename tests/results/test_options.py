"""What is asked for on the command line: devices that are there, folders of decoded audio that end alike, odd names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import cli
from bench.data import Source
from bench.engine import systems
from bench.errors import NoDevice, UnknownName
from bench.tasks import options


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_cuda_devices", lambda wanted, flag: 0)
    assert options.device("cpu") == options.device("auto") == "cpu"
    for name in ("cuda", "cuda:0"):
        with pytest.raises(NoDevice, match="no CUDA device"):
            options.device(name)
    for name in ("nonsense", "cuda:x", "mps", ""):
        with pytest.raises(UnknownName):
            options.device(name)
    monkeypatch.setattr(options, "_cuda_devices", lambda wanted, flag: 2)
    assert options.device("auto") == "cuda" and options.device("cuda:1") == "cuda:1"
    with pytest.raises(NoDevice, match=r"cuda:0 to cuda:1"):
        options.device("cuda:7")


@pytest.mark.parametrize("name", ["nonsense", "cuda:7"])
def test_a_device_that_is_not_there_exits_2_before_anything_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "_cuda_devices", lambda wanted, flag: 0)
    line = ["run", "--codec", "mulaw", "--device", name, "--store", str(tmp_path / "s"), "--results", str(tmp_path / "r")]
    assert cli.main(line) == 2
    assert name in capsys.readouterr().err and not list(tmp_path.iterdir())


def _decoded(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(b"")
    return folder


def test_folders_of_one_name_are_systems_of_their_own(tmp_path: Path) -> None:
    folders = [_decoded(tmp_path / f"{codec}/{rate}") for codec in "abcd" for rate in ("high_tkr", "low_tkr")]
    made = systems.systems([f"published:{folder}" for folder in folders])
    assert [one.name for one in made] == [f"published@{codec}/{rate}" for codec in "abcd" for rate in ("high_tkr", "low_tkr")]
    deep = systems.systems([f"published:{_decoded(tmp_path / end)}" for end in ("x/1/out", "y/1/out", "z/other")])
    assert [one.name for one in deep] == ["published@x/1/out", "published@y/1/out", "published@other"]
    assert len(systems.systems([f"published:{folders[0]}", f"published:{folders[0]}/"])) == 1


def test_odd_names_reach_the_program(tmp_path: Path) -> None:
    odd = _decoded(tmp_path / "my clips, take #2")
    text = str(odd).replace(" ", r"\ ").replace(",", r"\,")
    [name] = options.names(f"published:{text}")
    assert [one.name for one in systems.systems([name])] == ["published@my clips, take #2"]
    [source] = options.sources(f"folder:{text}")
    assert Source.parse(source) == Source("folder", odd)
    assert Source.parse(f"folder:{tmp_path}#sub") == Source("folder", tmp_path, ("sub",))


def test_the_error_says_how_odd_names_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--codec", "published:/my clips"]) == 2
    assert r"published:/my\ clips" in capsys.readouterr().err
