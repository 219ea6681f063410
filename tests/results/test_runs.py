"""Whole runs: what a second one computes, tells and writes; whose files it never touches."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench import cli, data
from bench.cards import ROOT
from bench.results import files, merge
from bench.tasks import gate


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for u in data.load("embedded").limit(2):
        shutil.copy(u.path, folder)
    return folder


def bench(tmp_path: Path, speech: Path, *more: str) -> int:
    places = ("--store", str(tmp_path / "s.sqlite"), "--results", str(tmp_path / "results"), "--workers", "1")
    return cli.main(["run", "--data", f"folder:{speech}", *places, *more])


def test_up_to_date_until_something_changes(tmp_path: Path, speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "results/resynthesis/folder-clips"
    assert bench(tmp_path, speech, "--codec", "mulaw,identity", "--metrics", "snr") == 0
    assert "wrote" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in files.paths(table)}
    assert bench(tmp_path, speech, "--codec", "mulaw,identity", "--metrics", "snr") == 0
    told = capsys.readouterr().out
    assert "up to date:" in told and "wrote" not in told and "mulaw@128" in told
    assert {path: path.stat().st_mtime_ns for path in files.paths(table)} == before
    # one more column of one codec: its other columns and the other codec stay
    assert bench(tmp_path, speech, "--codec", "mulaw", "--metrics", "si_sdr", "--quiet") == 0
    rows, stale = merge.read(table)
    columns = {codec: set(part["column"].astype(str)) for codec, part in rows.groupby(rows["codec"].astype(str))}
    assert {"snr", "si_sdr"} <= columns["mulaw@128"] and "snr" in columns["identity"] and "si_sdr" not in columns["identity"]
    assert stale == []
    # a table that is gone is written again, from the store
    (table / "leaderboard.md").unlink()
    assert bench(tmp_path, speech, "--codec", "mulaw", "--metrics", "si_sdr", "--quiet") == 0
    assert (table / "leaderboard.md").is_file()
    # a file replaced in place makes it another list of speech
    [first, second] = sorted(speech.iterdir())
    shutil.copy(second, first)
    assert bench(tmp_path, speech, "--codec", "mulaw", "--metrics", "snr", "--quiet") == 0
    assert len(list((tmp_path / "results/resynthesis").glob("folder-clips*"))) == 2


def test_rows_tell_where_they_come_from_and_nothing_of_the_machine(tmp_path: Path, speech: Path) -> None:
    (speech / "bad.wav").write_bytes(b"no audio")
    bench(tmp_path, speech, "--codec", "mulaw", "--metrics", "snr", "--quiet")
    rows = files.read(tmp_path / "results/resynthesis/folder-clips")
    assert set(rows["role"].astype(str)) == {"resynthesis"} and set(rows["device_kind"].astype(str)) == {"cpu"}
    assert rows["commit"].notna().all() and rows["definitions"].astype(str).str.contains('"adapter:mulaw"').all()
    text = rows.astype(str).apply(lambda column: column.str.contains(str(tmp_path), regex=False)).to_numpy()
    assert not text.any(), "a path of this machine is in the rows"
    assert (rows["failure"].astype(str) == "bad_input").any()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git")
def test_a_users_run_leaves_the_repository_clean() -> None:
    ignored = subprocess.run(["git", "-C", str(ROOT), "check-ignore", ".bench/results/x"], capture_output=True, text=True)
    assert ignored.stdout.strip() == ".bench/results/x"


def test_a_damaged_baseline_is_kept_aside_before_the_gate_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "measure", lambda *_: pytest.fail("ran before the baseline was looked at"))
    baseline = tmp_path / "baseline.parquet"
    baseline.write_bytes(b"damaged")
    assert gate.main(["--baseline", str(baseline)]) == 1
    told = capsys.readouterr().err
    assert "git checkout" in told and (tmp_path / "baseline.parquet.damaged-1").read_bytes() == b"damaged"
