"""Extras: messages name the one that helps, every package that is asked for is offered, the GPL comes only when asked for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from bench import cards, extras, metrics, provenance
from bench.engine.systems import system
from bench.guard import guarded

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GPL = {"praat-parselmouth"}


def closure(*names: str) -> set[str]:
    """Distributions that extras bring, those of extras within them too."""
    found: set[str] = set()
    for name in names:
        for spec in PROJECT["optional-dependencies"][name]:
            inner = re.fullmatch(r"speech-codec-bench\[(.*)\]", spec)
            found |= closure(*inner[1].split(",")) if inner else {re.split(r"[=<>\[]", spec)[0].lower()}
    return found


@pytest.mark.parametrize(
    ("package", "told"),
    [("visqol-python", "[visqol]"), ("av", "[classical]"), ("torch", "[neural]"), ("accelerate", "[train]"),
     ("lc3py", "[lc3]"), ("ai-edge-litert", "[lyra]"), ("whisper-normalizer", "[wer]"), ("xls_r_sqa", "[distillmos]"),
     ("no-such-package", "pip install no-such-package")],
)  # fmt: skip
def test_the_cure_names_the_extra(package: str, told: str) -> None:
    assert told in extras.cure(package)


def test_every_package_of_cards_and_metrics_is_offered() -> None:
    core = {re.split(r"[=<>\[]", spec)[0] for spec in PROJECT["dependencies"]}
    asked = {name for card in cards.readable()[0] for point in card.points.values() for name in point.packages}
    asked |= {name for metric in metrics.every() for name in metric.packages}
    offered = core | {name for names in extras.offered().values() for name in names}
    assert {name for name in asked if not {name, extras._normal(name), *extras._SAME.get(name, ())} & offered} == set()


def test_what_is_not_installed_is_told_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(extras, "package_version", lambda name: "absent" if name == "av" else "1")
    assert guarded(lambda: bool(system("opus@6").key)) == 1
    said = capsys.readouterr().err
    assert said == "error: opus@6 needs the package av, which is not installed: pip install 'speech-codec-bench[classical]'\n"


def test_a_module_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise ModuleNotFoundError("No module named 'accelerate'", name="accelerate.utils")

    assert guarded(work) == 1
    assert "[train]" in capsys.readouterr().err


def test_the_gpl_comes_only_when_asked_for() -> None:
    assert not GPL & (closure("default") | closure("all")) and closure("dev") >= GPL
    core = {re.split(r"[=<>\[]", spec)[0] for spec in PROJECT["dependencies"]}
    assert not core & (GPL | {"torch", "transformers"})


def test_one_webrtcvad() -> None:
    """Resemblyzer requires webrtcvad: an extra that named its wheels would bring a second distribution of the same module."""
    assert "webrtcvad-wheels" not in {name for names in extras.offered().values() for name in names}
    here = [name for name in ("webrtcvad", "webrtcvad-wheels") if provenance.package_version(name) != "absent"]
    assert len(here) == 1 and "[warpq]" in extras.cure("webrtcvad-wheels")


def test_what_imports_pkg_resources_comes_with_a_setuptools_that_has_it() -> None:
    for extra, specs in PROJECT["optional-dependencies"].items():
        names = {re.split(r"[=<>\[]", spec)[0] for spec in specs}
        if names & {"webrtcvad", "resemblyzer", "pyworld"}:
            assert "setuptools<81" in specs, extra
