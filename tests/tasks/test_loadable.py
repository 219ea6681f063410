"""Weights of a path that are not the codec's: one line for each codec before anything is coded, the others keep their rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import adapters, cards
from bench.cards import CODECS, Point
from bench.cli.main import main
from bench.engine import executors, systems
from bench.errors import BenchError, WeightsInvalid, WeightsMissing
from bench.presence import PACKAGE, presence
from bench.results import files
from bench.tasks import coded, loadable

NANO = CODECS / "freqcodec" / "nano.safetensors"


def _points() -> list[Point]:
    """One operating point of every family that takes weights and runs in this Python."""
    found = [next((one for one in card.points.values() if one.needs_weights), None) for card in cards.readable()[0]]
    some = [one for one in found if one is not None and one.adapter and not one.needs_environment]
    return [one for one in some if presence(one).state != PACKAGE]


def _file(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def _folder(folder: Path) -> Path:
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"hello")
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "nothing": _file("empty.safetensors", b""),
    "text": _file("text.safetensors", b"hello\n"),
    "no pickle": _file("text.bin", b"hello\n"),
    "cut short": lambda folder: _file("cut.safetensors", NANO.read_bytes()[:20000])(folder),
    "empty folder": lambda folder: folder,
    "folder": _folder,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("point", _points(), ids=lambda point: point.family)
def test_no_family_loads_what_are_no_weights(point: Point, kind: str, tmp_path: Path) -> None:
    path = KINDS[kind](tmp_path)
    with pytest.raises((WeightsInvalid, WeightsMissing)) as found:
        loadable.check_weights(systems.system(point.name, want=str(path)))
    assert str(path) in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize(
    "name", ["focalcodec@50", "freecodec@v1", "funcodec@1", "hificodec@2", "speechtokenizer@1", "wavtokenizer@40"]
)
def test_weights_of_another_codec_are_told_as_such(name: str, tmp_path: Path) -> None:
    other = CODECS / "freqcodec" / "discriminator.safetensors"
    with pytest.raises(WeightsInvalid) as found:
        loadable.check_weights(systems.system(name, want=str(other)))
    assert str(other) in str(found.value) and name in str(found.value) and "\n" not in str(found.value)


def test_weights_of_another_operating_point_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"nano-25\.safetensors"):
        loadable.check_weights(systems.system("focalcodec@50", want=str(CODECS / "focalcodec" / "nano-25.safetensors")))


def test_an_error_of_somebody_elses_loading_names_codec_and_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = _file("mine.pth", b"hello")(tmp_path)

    def load(*_: object) -> None:
        raise KeyError(101)

    monkeypatch.setattr(adapters, "module", lambda _: type("adapter", (), {"load": staticmethod(load)}))
    with pytest.raises(WeightsInvalid, match=rf"^freqcodec@2: weights {path}: these are no weights of it, .*KeyError: 101\)$"):
        loadable.check_weights(systems.system("freqcodec@2", want=str(path)))


def test_a_codec_without_weights_takes_none_of_a_path() -> None:
    assert systems.system("opus@6", want=str(NANO)).label == "opus@6"


def test_the_others_keep_their_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--results", str(tmp_path / "results"), "--store", str(tmp_path / "store.sqlite"), "--limit", "2", "--workers", "1"]
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"hello")
    run = ["run", "--codec", "focalcodec@50,freqcodec@2,opus@6", "--weights", str(wrong), "--metrics", "stoi", *words]
    assert main(run) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: left out: ")]
    assert [line.split()[3].rstrip(":") for line in told] == ["focalcodec@50", "freqcodec@2"]
    [table] = files.tables(tmp_path / "results")
    rows = files.read(table)
    assert set(rows["codec"]) == {"opus@6"} and rows[rows["column"] == "stoi"]["value"].notna().sum() == 2


def test_nothing_is_coded_where_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executors, "make", lambda *_, **__: pytest.fail("an utterance is coded"))
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"hello")
    for command in (["run"], ["listen"], ["run", "--task", "streaming"], ["run", "--task", "synthesis"]):
        words = [*command, "--codec", "focalcodec@50", "--weights", str(wrong), "--results", str(tmp_path / "results")]
        assert main(words) == 1
        [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error", "warning"))]
        assert said.startswith("error: focalcodec@50: ") and str(wrong) in said


def test_what_a_check_found_is_handed_on() -> None:
    def half(number: int) -> int:
        if number % 2:
            raise BenchError(f"{number} is odd")
        return number // 2

    assert coded.able([2, 3, 4], half) == ([(2, 1), (4, 2)], ["3 is odd"])
    with pytest.raises(BenchError, match=r"^3 is odd$"):
        coded.able([3, 5], half)
