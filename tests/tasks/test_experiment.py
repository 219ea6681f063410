"""A run described by a file: the same run as by flags, a resolved form that runs again, mistakes told in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pandas as pd
import pytest
import tomli_w

from bench import cli
from bench.errors import BadCard, BenchError
from bench.results import files
from bench.tasks import experiment, options

SMALL = {"codecs": ["mulaw@128", "identity"], "data": ["embedded"], "metrics": ["si_sdr"], "limit": 2, "executor": "inline"}


def _written(folder: Path, **keys: object) -> Path:
    path = folder / "mine.toml"
    path.write_text(tomli_w.dumps({"store": str(folder / "store"), "results": str(folder / "results"), **keys}))
    return path


def _resolved(folder: Path) -> list[Path]:
    return sorted((folder / "results").rglob("experiments/*.toml"))


def _untimed(table: Path) -> pd.DataFrame:
    """Rows of a table less its times, which no two runs share."""
    rows = files.read(table)
    kept = rows[~rows["column"].astype(str).str.startswith("rtf")]
    return kept.astype({name: "string" for name in kept.columns if kept[name].dtype == "category"}).reset_index(drop=True)


def test_the_keys_are_the_flags_of_bench_run() -> None:
    flags = {action.dest for action in options.parser()._actions} - {"help"}
    keys = {experiment._FLAGS.get(field.name, field.name) for field in msgspec.structs.fields(experiment.Experiment)}
    assert keys - {"resolved"} == flags


def test_a_file_asks_for_what_its_flags_would_ask(tmp_path: Path) -> None:
    path = _written(tmp_path, **SMALL, keep="codes", workers=1, profile="paper", channels="first", weights="nano", quiet=True)
    flags = ["--codec", "mulaw@128,identity", "--data", "embedded", "--metrics", "si_sdr", "--limit", "2", "--executor", "inline"]
    flags += ["--keep", "codes", "--workers", "1", "--profile", "paper", "--channels", "first", "--weights", "nano", "--quiet"]
    flags += ["--store", str(tmp_path / "store"), "--results", str(tmp_path / "results")]
    of_file = experiment.asked([str(path)])
    assert of_file.experiment == path
    assert msgspec.to_builtins(vars(of_file) | {"experiment": None}, enc_hook=str) == msgspec.to_builtins(
        vars(experiment.asked(flags)), enc_hook=str
    )
    assert of_file.command == experiment.asked(flags).command, "a job on another machine asks for the same run"


def test_flags_beside_the_file_win(tmp_path: Path) -> None:
    path = _written(tmp_path, **SMALL)
    wanted = experiment.asked([str(path), "--limit", "5", "--codec", "mulaw"])
    assert wanted.limit == 5 and wanted.codecs == ("mulaw",) and wanted.metrics == ("si_sdr",)


def test_the_resolved_form_runs_and_gives_the_same_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, **SMALL)
    assert cli.main(["run", str(path)]) == 0
    [resolved] = _resolved(tmp_path)
    assert f"wrote {resolved}" in capsys.readouterr().out
    found = tomllib.loads(resolved.read_text())
    assert found["device"] == "cpu" and found["task"] == "resynthesis" and found["profile"] == "embedded"
    assert found["codecs"] == SMALL["codecs"] and found["metrics"] == ["si_sdr"] and found["resolved"]["versions"]["metric:pair"]
    assert "protocol" not in found and "quiet" not in found
    [table] = files.tables(tmp_path / "results")
    before = {file: file.read_bytes() for file in files.paths(table)}
    again = _written(tmp_path / "results", **{**found, "results": str(tmp_path / "other"), "store": str(tmp_path / "fresh")})
    assert cli.main(["run", str(again), "--quiet"]) == 0
    [other] = files.tables(tmp_path / "other")
    assert _untimed(other).equals(_untimed(table)) and len(_untimed(table)) > 20
    assert cli.main(["run", str(resolved), "--quiet"]) == 0
    assert _resolved(tmp_path) == [resolved] and {file: file.read_bytes() for file in files.paths(table)} == before


def test_codecs_that_nobody_named_are_named_with_their_weights(tmp_path: Path) -> None:
    from bench import data
    from bench.engine import systems
    from bench.engine.plan import Plan
    from bench.tasks import cards

    wanted = experiment.asked([str(_written(tmp_path, task="resynthesis"))])
    chosen = tuple(systems.systems(["focalcodec@50", "opus@6"]))
    plan = Plan("resynthesis", chosen, data.load("embedded"), tuple(cards.profile("embedded").columns[:3]), always=())
    found = experiment.resolved(plan, wanted)
    assert found["codecs"] == ["focalcodec@50", "opus@6"] and found["weights"] == "nano"
    assert found["metrics"] == list(plan.columns)
    assert experiment._weights(plan) == {"focalcodec@50": chosen[0].weights.digest}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"weights": {"mulaw@128": "0" * 64}}, ""),  # of a codec without weights nothing is asked
        ({"speech": "0" * 64}, "the list of utterances of embedded is "),
        ({"audio": "0" * 64}, "the audio of embedded is "),
    ],
)
def test_other_speech_is_refused_before_anything_runs(
    keys: dict[str, object], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path, **SMALL, resolved=keys)
    assert cli.main(["run", str(path), "--quiet"]) == (1 if says else 0)
    told = capsys.readouterr().err
    assert (f"error: {path}: {says}" in told and "the file was made with 000000000000" in told) if says else "error" not in told
    assert bool(files.tables(tmp_path / "results")) != bool(says)


def test_other_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, **SMALL | {"codecs": ["focalcodec@50"]}, resolved={"weights": {"focalcodec@50": "0" * 64}})
    assert cli.main(["run", str(path)]) == 1
    assert f"error: {path}: the weights of focalcodec@50 are " in capsys.readouterr().err
    assert not files.tables(tmp_path / "results")


def test_versions_that_differ_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, **SMALL, resolved={"versions": {"metric:pair": "0", "audio": "1", "gone": "3"}})
    assert cli.main(["run", str(path), "--quiet"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "versions that differ" in line]
    assert "(the file: 0)" in line and "audio" not in line and "gone" not in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('codec = ["opus@6"]', "unknown key 'codec'. Did you mean: codecs"),
        ('metric = ["stoi"]', "unknown key 'metric'. Did you mean: metrics"),
        ('codecs = "opus@6"', "key 'codecs' is 'opus@6'; it must be a list in [brackets]"),
        ("codecs = []", "key 'codecs' is []; it must have at least 1 entry"),
        ("limit = 0", "key 'limit' is 0; it must be at least 1"),
        ('limit = "all"', "key 'limit' is 'all'; it must be a whole number"),
        ('keep = "audi"', "unknown keep 'audi'. Did you mean: audio"),
        ("continuous = true", "key 'continuous' is not read by the task resynthesis; leave it out"),
        ('task = "asr"\nmetrics = ["stoi"]', "key 'metrics' is not read by the task asr; leave it out"),
        ("seeds = [0.5]", "key 'seeds' is 0.5; it must be a whole number"),
        ("seeds = [-1]", "key 'seeds' is -1; it must be at least 0"),
        ("[resolved]\ncomit = 'a'", "[resolved]: unknown key 'comit'. Did you mean: commit"),
        ("codecs = [", "not TOML"),
    ],
)
def test_mistakes_are_one_line_that_names_file_and_key(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadCard) as error:
        experiment.read(path)
    assert str(error.value).startswith(f"{path}") and says in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"nowhere\.toml: cannot be read: No such file"):
        experiment.asked([str(tmp_path / "nowhere.toml")])


def test_plugins_are_known_before_their_codecs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_PLUGINS", "")
    assert cli.main(["new", "codec", "toy"]) == 0
    path = _written(tmp_path, **SMALL | {"codecs": ["toy@1"]}, plugins=["."])
    assert cli.main(["run", str(path), "--quiet"]) == 0
    [resolved] = _resolved(tmp_path)
    assert tomllib.loads(resolved.read_text())["plugins"] == ["."], "no folder of this machine"


def test_the_readme_tells_every_key_and_its_file_is_read(tmp_path: Path) -> None:
    section = (Path(__file__).resolve().parents[2] / "README.md").read_text().split("### One run, one file")[1].split("\n## ")[0]
    prose, example = section.split("```toml\n")
    (tmp_path / "experiment.toml").write_text(example.split("```")[0])
    assert experiment.read(tmp_path / "experiment.toml").limit == 20
    told = {word.strip(".,:`") for word in prose.split()}
    assert {field.name for field in msgspec.structs.fields(experiment.Experiment)} - {"resolved"} <= told
