"""Answers of listeners become rows beside the metrics: means, intervals, screening, rank correlation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.report import agreement, trial
from bench.results import files, merge
from bench.tasks import ratings

TRUE = {"original": 98, "anchor": 20, "a@1": 80, "b@1": 60, "c@1": 40, "d@1": 30}


def saved(folder: Path, listener: str, hidden: int = 98) -> Path:
    rng = np.random.default_rng(len(listener))
    rows = {
        name: {
            "task": "resynthesis",
            "profile": "embedded",
            "dataset": "embedded",
            "dataset_sha256": "ab",
            "partial": False,
            "audio_sha256": "cd",
            "synthetic": True,
            "condition": "clean",
            "codec": name,
            "weights": "none",
            "threads": 1,
            "weights_sha256": "none",
            "system_key": name,
            "role": "resynthesis",
            "device": "cpu",
            "device_kind": "cpu",
            "seed": 0,
            "settings": "{}",
            "packages": "{}",
            "code_version": "1",
            "commit": "x",
            "definitions": "{}",
        }
        for name in TRUE
        if "@" in name
    }
    answers = [
        {
            "utterance": f"u{i}",
            "seconds": 1.0,
            "system": name,
            "score": hidden if name == "original" else int(score + rng.integers(-5, 6)),
        }
        for i in range(4)
        for name, score in TRUE.items()
    ]
    test = {
        "format": trial.FORMAT,
        "kind": "mushra",
        "listener": listener,
        "rows": rows,
        "answers": answers,
        "speakers": {f"u{i}": f"s{i}" for i in range(4)},
    }
    path = folder / f"{listener}.json"
    path.write_text(json.dumps(test))
    return path


def test_answers_become_rows_and_a_bad_listener_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [saved(tmp_path, "one"), saved(tmp_path, "second"), saved(tmp_path, "careless", hidden=50)]
    assert ratings.main([*map(str, given), "--results", str(tmp_path / "results")]) == 0
    out = capsys.readouterr().out
    assert "listener careless left out: rated the hidden reference below 90 in 4 of 4 trials" in out
    [table] = files.tables(tmp_path / "results")
    rows, stale = merge.read(table)
    assert not stale
    mine = rows[rows["codec"] == "a@1"]
    by_hand = [one["score"] for path in given[:2] for one in json.loads(path.read_text())["answers"] if one["system"] == "a@1"]
    assert mine["num"].sum() == sum(by_hand) and mine["den"].sum() == 8 and len(mine) == 4
    assert f"a@1: MUSHRA {np.mean(by_hand):.1f} ±" in out and "2 listeners resampled" in out
    text = (table / "leaderboard.md").read_text(encoding="utf-8")
    assert "MUSHRA ↑" in text and f"**{np.mean(by_hand):.1f}**" in text


def test_nobody_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no listener is left"):
        ratings.main([str(saved(tmp_path, "x", hidden=10)), "--results", str(tmp_path / "r")])


@pytest.mark.parametrize(
    ("a", "b", "rho"), [([1, 2, 3, 4], [2, 4, 6, 9], 1.0), ([1, 2, 3, 4], [4, 3, 2, 1], -1.0), ([1, 2, 2, 4], [1, 2, 2, 4], 1.0)]
)
def test_rank_correlation_of_orders_by_hand(a: list, b: list, rho: float) -> None:
    assert agreement.spearman(a, b) == pytest.approx(rho)
