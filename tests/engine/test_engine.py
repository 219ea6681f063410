"""The engine's promises: a killed run resumes to the same rows, bad files are counted, nothing changes a result."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import entries, make_set, speechlike

from bench import audio, cards
from bench.engine import systems as planning
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.results import rows as row_files
from bench.speech import Dataset
from bench.store import Store

COLUMNS = ("stoi", "si_sdr")


def run(dataset: Dataset, store: Path, codecs: tuple[str, ...] = ("mulaw", "identity"), workers: int = 2) -> pd.DataFrame:
    plan = Plan("resynthesis", tuple(planning.systems(codecs)), dataset, COLUMNS, workers=workers)
    with Store(store) as opened:
        runner = Runner(plan, opened)
        runner.run()
        return row_files.frame(plan, opened, runner.failures)


def stable(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows without the timed columns, in a fixed order."""
    kept = rows[~rows["column"].isin(["rtf_encode", "rtf_decode"])].copy()
    for name in kept.columns:
        if isinstance(kept[name].dtype, pd.CategoricalDtype):
            kept[name] = kept[name].astype("string")
    return kept.sort_values(["codec", "utterance", "column"]).reset_index(drop=True)


def test_identity_is_the_ceiling(tmp_path: Path) -> None:
    rows = run(make_set(tmp_path / "a", 3), tmp_path / "s.sqlite", workers=1)
    identity = rows[(rows["codec"].str.startswith("identity")) & (rows["column"] == "stoi")]
    assert len(identity) == 3
    assert identity["value"].min() > 0.9999
    assert rows["failure"].notna().sum() == 0


def test_workers_and_chunks_never_change_a_row(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "a", 7)
    one = run(dataset, tmp_path / "one.sqlite", workers=1)
    two = run(dataset, tmp_path / "two.sqlite", workers=2)
    pd.testing.assert_frame_equal(stable(one), stable(two))


def test_second_run_computes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_set(tmp_path / "a", 4)
    first = run(dataset, tmp_path / "s.sqlite", workers=1)
    again = lambda *_: pytest.fail("a finished stage was run again")  # noqa: E731
    monkeypatch.setattr("bench.engine.executors.processes.Processes.submit", again)
    pd.testing.assert_frame_equal(first, run(dataset, tmp_path / "s.sqlite", workers=1))


def test_bad_files_are_counted_failures(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "a", 4)
    (tmp_path / "a" / "u001.wav").write_bytes(b"not audio")
    audio.write(tmp_path / "a" / "u002.wav", np.zeros(16000, np.float32), 16000)
    rows = run(dataset, tmp_path / "s.sqlite", ("mulaw",), workers=1)
    stoi = rows[rows["column"] == "stoi"].set_index("utterance")
    assert stoi.loc["u001", "failure"] == "bad_input" and "u001.wav" in stoi.loc["u001", "detail"]
    assert stoi.loc["u002", "failure"] == "silence" and np.isnan(stoi.loc["u002", "value"])
    assert stoi.loc[["u000", "u003"], "failure"].isna().all()


@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
def test_kill_9_and_run_again_gives_the_same_rows(tmp_path: Path) -> None:
    """Kill the whole process group, each time a little later; every kill hits a store that is partly filled."""
    dataset = make_set(tmp_path / "a", 24)
    whole = run(dataset, tmp_path / "whole.sqlite")
    everything = entries(tmp_path / "whole.sqlite")
    store = tmp_path / "killed.sqlite"
    counts = [0]
    for _ in range(3):
        kill_when(tmp_path / "a", store, lambda: entries(store) > counts[-1], signal.SIGKILL)
        counts.append(entries(store))
        with sqlite3.connect(store) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert counts == sorted(set(counts)) and counts[1] > 0 and counts[-1] < everything, counts
    pd.testing.assert_frame_equal(stable(whole), stable(run(dataset, store)))


def kill_when(folder: Path, store: Path, moment: Callable[[], bool], how: int, *, group: bool = True) -> tuple[int, float]:
    """Start a run, send it a signal as soon as `moment` -> (exit code, seconds until it ended)."""
    script = Path(__file__).with_name("victim.py")
    command = [sys.executable, str(script), str(folder), str(store)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not moment() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert process.poll() is None, "the run was over before it was to be ended"
    start = time.monotonic()
    (os.killpg if group else os.kill)(process.pid, how)
    return process.wait(timeout=60), time.monotonic() - start


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupt_to_the_parent_alone_ends_the_run(tmp_path: Path) -> None:
    """Ctrl-C in a service manager reaches the parent only: the run ends within two seconds, and what was finished is kept."""
    make_set(tmp_path / "a", 60)
    store = tmp_path / "s.sqlite"
    code, seconds = kill_when(tmp_path / "a", store, lambda: entries(store) > 0, signal.SIGINT, group=False)
    assert code != 0 and seconds < 2 and entries(store) > 0


def test_two_runs_at_once_on_one_store(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "a", 12)
    store = tmp_path / "s.sqlite"
    script = Path(__file__).with_name("victim.py")
    runs = [subprocess.Popen([sys.executable, str(script), str(tmp_path / "a"), str(store)]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in runs] == [0, 0]
    fresh = run(dataset, tmp_path / "alone.sqlite")
    pd.testing.assert_frame_equal(stable(fresh), stable(run(dataset, store)))


PLUGIN = """
import os
from bench.coding.codec import Codec
from bench.coding.codes import Codes

class Copy(Codec):
    sample_rate = 16000
    def __init__(self, deadly): self.deadly, self.waves = deadly, {}
    def encode(self, waves):
        from bench.coding.codes import Vector
        for wave in waves:
            if abs(len(wave) - self.deadly) < 2:
                os._exit(9)
        return [Codes((Vector("samples", wave),), len(wave), 16000) for wave in waves]
    def decode(self, codes):
        return [item.part("samples").values.astype("float32") for item in codes]

def load(point, weights, device):
    return Copy(point.settings["deadly"])
"""
CARD = """
family = "copy"
title = "Copy"
adapter = "copy"
kind = "reference"
licence = "none"
sample_rate = 16000
[points.default]
settings = {deadly = 19200}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package's codec: one card, one adapter, two entry points; nothing of ours is edited."""
    package = tmp_path / "site" / "copycodec"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "adapter.py").write_text(PLUGIN)
    (package / "copy.toml").write_text(CARD)
    info = tmp_path / "site" / "copycodec-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: copycodec\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.adapters]\ncopy = copycodec.adapter\n[bench.cards]\ncopy = copycodec\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for cached in (cards._paths, cards.load):
        cached.cache_clear()
    yield
    for cached in (cards._paths, cards.load):
        cached.cache_clear()


def test_a_dying_worker_costs_one_utterance(tmp_path: Path, plugin: None) -> None:
    """A codec of another package that kills its process on one utterance: that one is a crash, all others are scored."""
    dataset = make_set(tmp_path / "a", 9)
    audio.write(tmp_path / "a" / "u004.wav", speechlike(4, 1.2 + 1e-4), 16000)
    lengths = {u.id: len(u.read()[0]) for u in dataset}
    deadly = {name for name, length in lengths.items() if abs(length - 19200) < 2}
    rows = run(dataset, tmp_path / "s.sqlite", ("copy",), workers=2)
    stoi = rows[rows["column"] == "stoi"].set_index("utterance")
    assert set(stoi.index[stoi["failure"] == "crash"]) == deadly and deadly
    assert stoi.loc[~stoi.index.isin(deadly), "value"].min() > 0.99


def test_limit_hears_every_speaker(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "a", 12)
    part = dataset.limit(5)
    assert part.partial and len(part) == 5 and len(part.speakers) == 3
    assert dataset.limit(12) is dataset and dataset.limit(None) is dataset
    assert part.sha256 != dataset.sha256


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    make_set(tmp_path / "a", 24)
    script = Path(__file__).with_name("victim.py")
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "a"), str(tmp_path / "s.sqlite")])
    children: list[str] = []
    until = time.monotonic() + 30
    while not children and time.monotonic() < until:
        time.sleep(0.1)
        # Workers are started by threads, and are listed as theirs.
        threads = Path(f"/proc/{process.pid}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
    process.kill()
    process.wait()
    assert children
    until = time.monotonic() + 20
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.2)
    assert not [child for child in children if Path(f"/proc/{child}/cmdline").exists()]
