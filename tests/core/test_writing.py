"""Places that cannot be written are told before anything is computed, by every command that writes."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bench import writing
from bench.cli.main import main
from bench.engine import executors
from bench.errors import BenchError
from bench.store import Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file; nothing can be written below it, whoever asks."""
    path = tmp_path / "file"
    path.write_text("kept")
    return path


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    writing.check_folder(tmp_path / "new" / "deeper", "cure")
    writing.check_file(tmp_path / "new" / "page.html", "cure")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["", "/x", "/x/y/z"])
def test_a_place_below_a_file_is_named_with_the_reason_and_the_cure(file: Path, end: str) -> None:
    with pytest.raises(BenchError, match=rf"^{file}{end}: cannot be written \({file} is no folder\); another place$"):
        writing.check_folder(Path(f"{file}{end}"), "another place")
    assert file.read_text() == "kept"


def test_a_link_to_nowhere_is_no_folder(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone" / "far")
    with pytest.raises(BenchError, match="link is no folder"):
        writing.check_folder(link / "x", "cure")


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=rf"^{tmp_path}: cannot be written \(it is a folder\); cure$"):
        writing.check_file(tmp_path, "cure")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_what_the_system_refuses_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(**_: Any) -> Any:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(BenchError, match=rf"^{tmp_path}: cannot be written \({os.strerror(code)}\); cure$"):
        writing.check_folder(tmp_path, "cure")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(BenchError, match=r"cannot be written \(No space left on device\); cure$"):
        writing.check_folder(tmp_path, "cure")


def test_what_cannot_be_put_in_place_is_one_error_and_leaves_nothing(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot be written"):
        writing.write_text(file / "page.md", "text")
    assert list(tmp_path.iterdir()) == [file]


def test_a_store_that_may_only_be_read_is_told_before_work(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put("key", "stage", 1)
        store.check_writable()
    with Store(path) as store:
        store._db.close()
        store._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        with pytest.raises(BenchError, match=r"store.sqlite: cannot write \(.*readonly.*\)"):
            store.check_writable()
        assert store.get("key") == 1


RUNS = {
    "resynthesis": ("--codec", "opus@6", "--metrics", "stoi"),
    "robustness": ("--codec", "opus@6", "--metrics", "stoi"),
    "streaming": ("--codec", "opus@6", "--metrics", "stoi"),
    "vc": ("--codec", "freecodec@v1", "--weights", "random"),
    "asr": ("--codec", "opus@6"),
    "enhancement": ("--codec", "focalcodec@50", "--weights", "random", "--metrics", "stoi"),
    "separation": ("--codec", "focalcodec@50", "--weights", "random", "--metrics", "stoi"),
    "synthesis": ("--codec", "focalcodec@50", "--weights", "random"),
}


def _refused(argv: list[str], place: Path, capsys: pytest.CaptureFixture[str], code: int = 1) -> None:
    assert main(argv) == code
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(said) == 1 and str(place) in said[0] and "cannot " in said[0], said


@pytest.mark.parametrize("kind", ["results", "store"])
@pytest.mark.parametrize("task", RUNS)
def test_no_task_codes_where_its_results_or_its_store_cannot_be_written(
    task: str, kind: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executors, "make", lambda *_, **__: pytest.fail("an utterance is coded"))
    bad = file / "place"
    places = {"results": tmp_path / "results", "store": tmp_path / "store.sqlite"} | {kind: bad}
    words = [word for name, path in places.items() for word in (f"--{name}", str(path))]
    _refused(["run", "--task", task, *RUNS[task], *words], bad, capsys)


def test_a_table_whose_rows_cannot_be_written_is_told_before_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executors, "make", lambda *_, **__: pytest.fail("an utterance is coded"))
    bad = tmp_path / "results" / "resynthesis" / "embedded" / "rows"
    bad.parent.mkdir(parents=True)
    bad.write_text("in the way")
    words = ["--results", str(tmp_path / "results"), "--store", str(tmp_path / "store.sqlite")]
    _refused(["run", *RUNS["resynthesis"], *words], bad, capsys)
    assert bad.read_text() == "in the way"


@pytest.mark.parametrize(
    "words",
    [
        ("listen", "--codec", "opus@6", "--count", "1", "--results", "{bad}"),
        ("listen", "--codec", "opus@6", "--count", "1", "--store", "{bad}"),
        ("page", "--out", "{bad}/page.html"),
        ("gate", "--codec", "opus@6", "--update", "--baseline", "{bad}/mine.parquet"),
        ("new", "codec", "mine", "--to", "{bad}"),
        ("certify", "--record", "{bad}"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_that_writes_looks_first(
    words: tuple[str, ...], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executors, "make", lambda *_, **__: pytest.fail("an utterance is coded"))
    bad = file / "place"
    _refused([word.format(bad=bad) for word in words], bad, capsys)


def test_a_training_does_not_begin_where_it_cannot_write(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.train import command

    monkeypatch.setattr(command, "prepared", lambda _: pytest.fail("data are loaded"))
    assert command.main(["focalcodec", "--out", str(file / "run")]) == 1
    assert f"{file / 'run'}: cannot be written" in capsys.readouterr().err
