"""`bench listen`: worst first, scores only of what is heard, failures told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import cli, data
from bench.results import files, writer

TABLE = "resynthesis/folder-speech"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four utterances in `speech`, and results and store of g722 on them."""
    folder = tmp_path_factory.mktemp("listen")
    (folder / "speech").mkdir()
    for u in data.load("embedded").limit(4):
        shutil.copy(u.path, folder / "speech")
    line = f"run --codec g722 --metrics snr --workers 1 --quiet --store {folder}/s.sqlite --results {folder}"
    assert cli.main([*line.split(), "--data", f"folder:{folder}/speech"]) == 0
    return folder


def listen(folder: Path, *more: str) -> tuple[int, str]:
    source = () if "vc" in more else ("--data", f"folder:{folder}/speech")
    code = cli.main(["listen", "--store", str(folder / "s.sqlite"), "--results", str(folder), *source, *more])
    pages = list(folder.glob("listening/*/*/index.html"))
    return code, pages[0].read_text(encoding="utf-8") if pages else ""


def worst(folder: Path, column: str) -> list[str]:
    rows = files.read(folder / TABLE)
    return list(rows[rows["column"].astype(str) == column].sort_values("value")["utterance"].astype(str))


def test_the_worst_come_first_with_their_scores(run: Path) -> None:
    code, text = listen(run, "--codec", "g722", "--count", "3", "--by", "snr")
    expected = worst(run, "snr")
    places = [text.find(f"<h2>{name}</h2>") for name in expected]
    assert code == 0 and places[3] == -1 and 0 < places[0] < places[1] < places[2]
    assert text.count("<audio") == 2 * 3, "original and decoded"


def test_scores_of_other_code_are_not_shown(run: Path) -> None:
    rows = files.read(run / TABLE)
    try:
        writer.write(rows.assign(system_key="of yesterday"), run / TABLE)
        code, text = listen(run, "--codec", "g722", "--count", "2")
    finally:
        writer.write(rows, run / TABLE)
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


def test_each_channel_can_be_heard_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import soundfile

    wave, rate = soundfile.read(next(iter(data.load("embedded").limit(1))).path)
    (tmp_path / "speech").mkdir()
    soundfile.write(tmp_path / "speech" / "call.wav", np.stack([wave, 0.5 * wave], axis=1), rate)
    code, text = listen(tmp_path, "--codec", "g722", "--channels", "each")
    assert code == 0 and "<h2>call.ch1</h2>" in text and "<h2>call.ch2</h2>" in text
    assert cli.main(["listen", "--codec", "g722", "--channels", "eech"]) == 2
    assert cli.main(["listen", "--task", "vc", "--channels", "each"]) == 1
    assert "Did you mean: each" in (told := capsys.readouterr().err) and "no flag of the task vc" in told
