"""A codec, a metric, a data set, a producer, a task and an executor from one package outside: nothing of ours is edited.

The package is tests/engine/outside: one file each, one card for the codec and one for the task, and its entry points.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = Path(__file__).parent / "outside"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def bench(home: Path, *words: str) -> str:
    """What `bench WORDS` prints, with the package installed. It must exit 0."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{OUTSIDE}", "BENCH_RESULTS": str(home / "results")}
    command = [sys.executable, "-B", "-m", "bench", *words]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told(home: Path) -> str:
    return bench(home, "run", "--task", "playback", "--codec", "steps@8,mulaw", "--executor", "threads", "--workers", "1")


def test_all_six_take_part_in_one_run(told: str, home: Path) -> None:
    rows = pd.concat([pd.read_parquet(path) for path in (home / "results").rglob("*.parquet")])
    assert set(rows["task"].astype(str)) == {"playback"} and set(rows["dataset"].astype(str)) == {"chirps"}
    assert {"steps@8", "mulaw@128"} <= set(rows["codec"].astype(str)) and "playback" in set(rows["role"].astype(str))
    assert int((home / "jobs.txt").read_text()) > 0
    own = rows[rows["codec"].astype(str) == "steps@8"]
    scored = own[own["column"].astype(str) == "crest_error"]
    assert len(scored) == 4 and scored["failure"].isna().all()
    packed = own[own["column"].astype(str) == "bitrate_packed"]
    assert packed["num"].sum() / packed["den"].sum() == pytest.approx(128.0)
    level = own.loc[own["column"].astype(str) == "rms_level", "value"]
    # A sine of amplitude 0.25: -15.05 dB, but for steps of 1/127.
    assert level.to_numpy() == pytest.approx(-15.05, abs=0.1)


def test_a_score_ranks_and_a_fact_is_told(told: str, home: Path) -> None:
    (page,) = (home / "results").rglob("leaderboard.md")
    scores, _, facts = page.read_text().partition("Bit rates, speed, delay and level")
    assert "crest dB ↓" in told and "crest dB ↓" in scores
    assert "RMS level" not in told and "RMS level" not in scores and "RMS level dB" in facts


def test_all_are_listed(home: Path) -> None:
    listed = bench(home, "list", "all")
    assert all(name in listed for name in ("steps@8", "crest_error", "chirps", "playback"))


def test_a_column_of_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "twice"
    package.mkdir()
    (package / "__init__.py").write_text('from bench.metrics import Column\nCOLUMNS = [Column("clipped", "mine")]\n')
    info = tmp_path / "twice-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twice\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.columns]\ntwice = twice:COLUMNS\n")
    ask = "from bench.columns import every_column; every_column()"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-B", "-c", ask], env=environment, capture_output=True, text=True)
    assert "column 'clipped' of twice:COLUMNS is defined elsewhere too: rename one of them" in done.stderr
