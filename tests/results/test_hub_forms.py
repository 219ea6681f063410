"""The forms of the Hugging Face hub, read back by the hub's own reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

from bench import cli
from bench.report.summary import Summary, summaries
from bench.results import export, hub, merge, publish
from bench.results.schema import split
from bench.tasks import columns, options

TABLE = options.COMMITTED / "resynthesis" / "librispeech-test-clean+test-other"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    found = merge.read(TABLE, publish.FIELDS)[0]
    return found[found["codec"].astype(str).isin(["opus@6", "focalcodec@50", "identity"])]


@pytest.fixture(scope="module")
def summary(rows: pd.DataFrame) -> Summary:
    return summaries(split(rows)[0], columns.shown(rows))[0]


def test_the_hubs_reader_finds_every_score_with_its_interval(rows: pd.DataFrame, summary: Summary) -> None:
    known = columns.shown(rows)
    documents = list(yaml.safe_load_all(export.leaderboard(rows, known, "model-index")))
    assert len(documents) == len(summary.systems) == 3
    for document in documents:
        name, found = model_index_to_eval_results(document["model-index"])
        assert name in summary.systems
        of = {one.metric_type: one for one in found}
        for (system, column), cell in summary.cells.items():
            if system != name or known.get(column) is None or known[column].role != "score" or not cell.n:
                continue
            scale, slack = known[column].scale, 0.06 * 10.0 ** -known[column].decimals
            assert of[column].metric_value == pytest.approx(cell.value * scale, abs=slack)
            assert of[column].metric_args["low"] == pytest.approx(cell.low * scale, abs=slack)
            assert (of[column].metric_args["n"], of[column].metric_args["failed"]) == (cell.n, cell.failed)
        assert {one.task_type for one in found} == {"audio-to-audio"} and {one.dataset_type for one in found} == {"librispeech"}
        assert found[0].dataset_split == "test-clean+test-other"
        assert found[0].dataset_args["list_sha256"] == summary.group.dataset_sha256


def test_a_document_is_the_head_of_a_model_card(rows: pd.DataFrame) -> None:
    text = export.leaderboard(rows[rows["codec"].astype(str) == "opus@6"], columns.shown(rows), "model-index")
    card = ModelCard(f"{text}---\n# Opus\n")
    assert isinstance(card.data, ModelCardData) and card.data.model_name == "opus@6"
    assert card.data.eval_results and all(result.metric_value is not None for result in card.data.eval_results)


def test_boards_get_one_object_for_each_system(rows: pd.DataFrame, summary: Summary) -> None:
    found = [json.loads(line) for line in export.leaderboard(rows, columns.shown(rows), "board").splitlines()]
    assert [one["config"]["model_name"] for one in found] == list(summary.systems)
    for one in found:
        [scores] = one["results"].values()
        assert all(isinstance(value, float | int) for value in scores.values()) and "stoi" in scores
    shas = {one["config"]["model_name"]: one["config"]["model_sha"] for one in found}
    assert re.fullmatch(r"[0-9a-f]{64}", shas["focalcodec@50 [nano]"]) and shas["opus@6"] == ""


def test_a_system_without_a_score_has_no_document(rows: pd.DataFrame) -> None:
    known = columns.shown(rows)
    some = rows[rows["codec"].astype(str) == "opus@6"].assign(value=None, num=None, den=None, failure="crash")
    assert hub.model_index(summaries(split(some)[0], known), known) == ""


def test_several_tables_are_one_document_for_each_codec(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(options.COMMITTED / "resynthesis")
    assert cli.main(["leaderboard", path, "--codec", "opus@6", "--format", "model-index"]) == 0
    told = capsys.readouterr()
    [document] = yaml.safe_load_all(told.out)
    datasets = {result["dataset"]["name"] for result in document["model-index"][0]["results"]}
    assert {"embedded", "librispeech#test-clean+test-other"} <= datasets and "librispeech" in told.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--codec", "opuss@6"], 2, "unknown codec in these tables 'opuss@6'. Did you mean: opus@6"),
        (["--format", "modelindex"], 2, "Did you mean: model-index"),
        (["--band", "--format", "board"], 1, "leave out --band"),
        (["--band", "--write"], 1, "--write renews whole tables"),
        (["--band", "fast"], 1, "write LOW-HIGH"),
    ],
)
def test_what_cannot_be_shown_is_told(words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["leaderboard", str(TABLE), *words]) == code
    assert says in capsys.readouterr().err


def test_one_band_is_the_table_of_its_codecs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["leaderboard", str(TABLE), "--band", "0.75-1.5", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines[0].split(",").index("kbps")
    rates = {float(line.split(",")[at]) for line in lines[1:] if line}
    assert rates and all(0.75 <= rate < 1.5 for rate in rates)


def test_winners_are_exported(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["leaderboard", str(TABLE), "--band", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"0.75 to 1.5", "3 to 6"} <= {one["band"] for one in found}
    assert all(one["low"] <= one["value"] <= one["high"] for one in found)


def test_the_readme_names_the_views() -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert "leaderboard --band" in text and "--format model-index" in text
