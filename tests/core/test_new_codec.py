"""A codec of a user's own: what README prints is what `bench new codec` writes, and it runs from a folder outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import adapters, cards, definitions, plugins
from bench.cli import main, new
from bench.engine.systems import system
from bench.errors import BadCard, BenchError

ROOT = Path(__file__).resolve().parents[2]
HERE = {**os.environ, "PYTHONPATH": str(ROOT)}
CARD_C = new.CARD.replace('"mycodec"', '"c"')


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "")


def written(folder: Path, name: str) -> Path:
    """A folder with the files of a new codec."""
    folder.mkdir(exist_ok=True)
    for path, text in new.files(name).items():
        (folder / path).write_text(text)
    return folder


def test_readme_prints_what_the_command_writes() -> None:
    blocks = re.findall(r"```(?:toml|python)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert new.CARD in blocks and new.ADAPTER in blocks


def test_readmes_codec_runs_from_a_folder_outside(tmp_path: Path) -> None:
    blocks = re.findall(r"`(mycodec\.\w+)`:\n\n```\w+\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["mycodec.toml", "mycodec.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    command = ["run", "--plugins", ".", "--codec", "mycodec@1", "--limit", "2", "--metrics", "stoi", "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "bench", *command], cwd=tmp_path, env=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"mycodec@1\S* +1 ", done.stdout)  # it sends the 1 kbps that its card states
    assert (tmp_path / ".bench/results/partial/resynthesis/embedded-2/rows/mycodec@1.parquet").is_file()


def test_the_test_that_is_written_passes(tmp_path: Path) -> None:
    written(tmp_path, "owncodec")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, env=HERE, capture_output=True, text=True
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "owncodec.py").write_text("mine")
    assert main(["new", "codec", "owncodec", "--to", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["owncodec.py"]


@pytest.mark.parametrize("name", ["opus", "my codec", "3d", "import", "../x"])
def test_names_that_cannot_be(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "codec", name, "--to", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_plugin_is_named_by_its_folder_or_its_card(tmp_path: Path) -> None:
    for place in (written(tmp_path / "a", "codec_a"), written(tmp_path / "b", "codec_b") / "codec_b.toml"):
        plugins.use([place])
    assert {"codec_a", "codec_b"} <= set(cards.paths())
    codecs = [adapters.load(cards.resolve(name), system(name).weights) for name in ("codec_a", "codec_b")]
    assert [codec.sample_rate for codec in codecs] == [16000, 16000]


def test_a_plugin_may_be_called_as_the_package_it_wraps(tmp_path: Path) -> None:
    written(tmp_path, "codec_w")
    (tmp_path / "codec_w.toml").write_text(new.CARD.replace('"mycodec"', '"codec_w"', 1).replace('"mycodec"', '"json"'))
    (tmp_path / "codec_w.py").rename(tmp_path / "json.py")
    plugins.use([tmp_path])
    import json

    assert adapters.module("json").MyCodec and adapters.module("json") is not json


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "holds no card"),
        ({"opus.toml": new.CARD.replace('"mycodec"', '"opus"')}, "the family 'opus' has a card already"),
        ({"c.toml": CARD_C, "mulaw.py": new.ADAPTER}, "mulaw.py has the name of another adapter"),
    ],
)
def test_plugins_that_cannot_be_used(files: dict[str, str], told: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    plugins.use([tmp_path])
    with pytest.raises(BenchError, match=told):
        cards.load(next((Path(name).stem for name in files if name.endswith("toml")), "opus"))
        cards.load.cache_clear()
        cards.load("opus")


def test_a_place_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--plugins", str(tmp_path / "no")]) == 1
    assert "there is no such folder or card" in capsys.readouterr().err


def test_an_edit_beside_the_adapter_is_noticed(tmp_path: Path) -> None:
    plugins.use([written(tmp_path, "codec_k")])
    before = definitions.adapter("codec_k").identity
    (tmp_path / "notes.md").write_text("not what it computes")
    assert definitions.adapter("codec_k").identity == before
    (tmp_path / "helper.py").write_text("GAIN = 2")
    assert definitions.adapter("codec_k").identity != before


def test_weights_are_none_or_named_never_both(tmp_path: Path) -> None:
    good = written(tmp_path, "codec_n") / "codec_n.toml"
    plugins.use([tmp_path])
    assert not cards.parse(good).points["1"].needs_weights
    assert system("codec_n@1").label == "codec_n@1"
    good.write_text(good.read_text() + '\n[points.1.weights.official]\nrepo = "a/b"\nfiles = ["c"]\n')
    with pytest.raises(BadCard, match=r'weights is "none", but'):
        cards.parse(good)
    good.write_text(good.read_text().partition("[points")[0].replace('"none"', '"some"', 1) + "[points.1]\n")
    with pytest.raises(BadCard, match="weights"):
        cards.parse(good)
