"""Groups of utterances against values known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cli.main import main
from bench.errors import BenchError, UnknownName
from bench.metrics import Column
from bench.report import slices
from bench.results import schema
from bench.speech import Dataset, Utterance

COLUMNS = {"stoi": Column("stoi", "STOI", "", "higher", 0, 1), "dwer": Column("dwer", "dWER", "%", "lower", scale=100.0)}


def rows(values: list[float], speakers: list[str] | None = None, seconds: float = 3.0, column: str = "stoi") -> pd.DataFrame:
    speakers = speakers or [f"s{n}" for n in range(len(values))]
    return schema.typed(
        {
            "task": "resynthesis", "dataset": "toy", "condition": "clean", "codec": "a@1", "weights": "none",
            "utterance": f"u{n}", "speaker": speaker, "language": "en" if n % 2 else "de", "seconds": seconds + n,
            "column": column, "metric": "stoi", "metric_version": "1", "value": value,
        }
        for n, (value, speaker) in enumerate(zip(values, speakers, strict=True))
    )  # fmt: skip


def cells(made: pd.DataFrame, member: dict[str, str], column: str = "stoi") -> dict[str, slices.Slice]:
    [one] = slices.slices(made, {column: COLUMNS[column]}, member)
    return dict(one.cells["a@1"])


def test_values_of_groups_and_the_worst_beyond_chance() -> None:
    made = rows([0.9, 0.8] * 10)
    found = cells(made, slices.membership(made, "language"))
    assert found["de"].value == pytest.approx(0.9)
    assert found["en"].value == pytest.approx(0.8)
    assert (found["en"].worst, found["en"].apart, found["de"].worst) == (True, True, False)


def test_an_error_rate_is_worst_where_it_is_high() -> None:
    made = rows([0.1, 0.2] * 10, column="dwer")
    assert cells(made, slices.membership(made, "language"), "dwer")["en"].worst


def test_chance_is_no_difference() -> None:
    made = rows(list(np.random.default_rng(1).normal(0.8, 0.1, 40)))
    found = cells(made, slices.membership(made, "language"))
    assert not any(cell.apart for cell in found.values())


def test_a_group_of_few_is_not_called_the_worst() -> None:
    made = rows([0.1] + [0.8, 0.9] * 10)
    member = {name: "few" if name == "u0" else str(n % 2) for n, name in enumerate(made["utterance"].astype(str))}
    found = cells(made, member)
    assert [name for name, cell in found.items() if cell.worst] == ["1"]


def test_one_group_equals_the_whole_table() -> None:
    from bench.report.summary import summaries

    made = rows([0.5, 0.7, 0.6, 0.9] * 5)
    [whole] = summaries(made, COLUMNS, seed=0)
    [found] = cells(made, dict.fromkeys(made["utterance"].astype(str), "all")).values()
    cell = whole.cells["a@1", "stoi"]
    assert (found.value, found.low, found.high, found.n) == (cell.value, cell.low, cell.high, cell.n)


def test_bands() -> None:
    edges = (2.0, 5.0)
    assert [slices.band(v, edges, "s") for v in (1.9, 2.0, 4.9, 5.0)] == ["under 2 s", "2 to 5 s", "2 to 5 s", "5 s and more"]


def test_groups_of_the_speech_and_of_measured_things() -> None:
    made = rows([0.9, 0.8, 0.7])
    told = Dataset("toy", tuple(Utterance(f"u{n}", Path("x"), "s", gender=g) for n, g in enumerate(("female", "male", None))))
    assert slices.membership(made, "gender", told) == {"u0": "female", "u1": "male", "u2": slices.UNKNOWN}
    assert slices.membership(made, "duration") == {"u0": "3 to 4 s", "u1": "4 to 6 s", "u2": "4 to 6 s"}
    level = pd.concat([made, made.assign(column="deg_dbfs", value=-26.0), made.assign(column="gain_db", value=6.0)])
    assert set(slices.membership(level, "level").values()) == {"-35 to -30 dBFS"}
    with pytest.raises(BenchError, match="nothing is told"):
        slices.membership(made, "level")
    with pytest.raises(UnknownName):
        slices.needs_speech("gendre")


def test_what_is_made_of_recordings_is_in_the_group_of_its_speaker() -> None:
    made = rows([0.9, 0.8, 0.7]).assign(utterance=["u0_in_noise", "u1_in_noise", "u2_in_noise"], speaker=["a", "b", "c"])
    who = (("a", "female"), ("b", "male"), ("b", "female"), ("c", None))
    told = Dataset("toy", tuple(Utterance(f"{n}", Path("x"), speaker, gender=g) for n, (speaker, g) in enumerate(who)))
    found = slices.membership(made, "gender", told)
    assert found == {"u0_in_noise": "female", "u1_in_noise": slices.UNKNOWN, "u2_in_noise": slices.UNKNOWN}


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "results/vc/embedded", "--by", "gendre"]) == 2
    assert "gender" in capsys.readouterr().err


def test_speech_that_a_grouping_reads_and_that_is_not_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert main(["leaderboard", "results/vc/vctk", "--by", "gender"]) == 1
    told = capsys.readouterr().err
    assert "--by gender reads what is known of the speech: --data vctk:PATH says where it lies" in told and told.count("\n") == 1
