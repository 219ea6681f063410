"""`bench listen`: worst first, scores only of what is heard, failures told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench import cli
from bench.engine import rows as row_files


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results and store of g722 on four utterances, moved to where those of the whole set would be."""
    folder = tmp_path_factory.mktemp("listen")
    line = f"run --codec g722 --limit 4 --metrics snr --workers 1 --quiet --store {folder}/s.sqlite --results {folder}"
    assert cli.main(line.split()) == 0
    (folder / "resynthesis").mkdir()
    (folder / "partial/resynthesis/embedded-4").rename(folder / "resynthesis/embedded")
    return folder


def listen(folder: Path, *more: str) -> tuple[int, str]:
    code = cli.main(["listen", "--store", str(folder / "s.sqlite"), "--results", str(folder), *more])
    pages = list(folder.glob("listening/*/*/index.html"))
    return code, pages[0].read_text(encoding="utf-8") if pages else ""


def worst(folder: Path, column: str) -> list[str]:
    rows = row_files.read(folder / "resynthesis/embedded/rows.parquet")
    return list(rows[rows["column"].astype(str) == column].sort_values("value")["utterance"].astype(str))


def test_the_worst_come_first_with_their_scores(run: Path) -> None:
    code, text = listen(run, "--codec", "g722", "--count", "3", "--by", "snr")
    expected = worst(run, "snr")
    places = [text.find(f"<h2>{name}</h2>") for name in expected]
    assert code == 0 and places[3] == -1 and 0 < places[0] < places[1] < places[2]
    assert text.count("<audio") == 2 * 3, "original and decoded"


def test_scores_of_other_code_are_not_shown(run: Path) -> None:
    path = run / "resynthesis/embedded/rows.parquet"
    rows = pd.read_parquet(path)
    try:
        row_files.write(rows.assign(system_key="of yesterday"), path)
        code, text = listen(run, "--codec", "g722", "--count", "2")
    finally:
        row_files.write(rows, path)
    assert code == 0 and "no scores of these systems yet" in text and text.count("<audio") == 2 * 2


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["--count", "0"], 1, "at least 1"),
        (["--task", "asr"], 2, "resynthesis"),
        (["--task", "vc", "--protocol", "focal"], 2, "focalcodec"),
        (["--codec", "g722", "--by", "snrr"], 2, "snr"),
    ],
)
def test_bad_flags(run: Path, line: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert listen(run, *line)[0] == code
    assert told in capsys.readouterr().err


def test_a_conversion_that_is_none_is_told(run: Path) -> None:
    code, text = listen(run, "--task", "vc", "--codec", "opus@6", "--count", "1")
    assert code == 0
    text = (run / "listening/vc/embedded/index.html").read_text(encoding="utf-8")
    assert "no_conversion" in text and ">source<" in text and ">target<" in text
