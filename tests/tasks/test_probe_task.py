"""The probe task from codes to rows: what is probed, what its rows say, that nothing is trained twice."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import audio, data
from bench.data import splits
from bench.engine import executors
from bench.errors import BenchError, UnknownName
from bench.probes import jobs, settings
from bench.probes.division import Division
from bench.results import files
from bench.speech import Dataset, Utterance
from bench.tasks import cards, coded, probe, probe_rows, trainings
from bench.tasks.options import Options

SMALL = replace(settings.PROTOCOLS["embedded"]["si"], hidden=4, width=8, epochs=1, batch=8)


@pytest.fixture
def two_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Two speakers of ten recordings of 0.4 s, found under the name of a set that is divided per speaker."""
    rng = np.random.default_rng(0)
    utterances = []
    for speaker, pitch in (("a", 120), ("b", 260)):
        for n in range(10):
            path = tmp_path / "set" / f"{speaker}{n}.wav"
            path.parent.mkdir(exist_ok=True)
            t = np.arange(6400) / 16000
            wave = 0.2 * np.sign(np.sin(2 * np.pi * pitch * t)) + rng.normal(0, 0.02, t.size)
            audio.write(path, wave.astype(np.float32), 16000)
            utterances.append(Utterance(path.stem, path, speaker))
    dataset = Dataset("toy", tuple(utterances))
    monkeypatch.setattr(data, "load", lambda source: dataset)
    monkeypatch.setitem(settings.PROTOCOLS, "embedded", dict.fromkeys(("asr", "si", "ser"), SMALL))  # type: ignore[arg-type]
    return dataset


def test_a_set_without_a_subset_is_read_by_the_one_that_the_card_names() -> None:
    card = cards.load("asr")
    words, sentences = probe._speech("embedded", card), probe._speech("embedded#own", card)
    assert {u.text for u in words} == {u.text for u in data.load("embedded#words")} and words.name == "embedded"
    assert not {u.id for u in words} & {u.id for u in sentences}
    assert len(probe._speech("embedded", cards.load("si"))) == 140


def test_spoken_digits_are_divided_as_they_are_published() -> None:
    listed = splits.load(cards.load("asr").settings["split"]["fsdd"])
    assert not listed.folded, "one division, no folds"
    assert {int(name.rpartition("_")[2]) for name, part in listed.places.items() if part == "test"} == set(range(5))


def options(tmp_path: Path, *codecs: str, **more: object) -> Options:
    return Options(
        "si", codecs, ("librispeech",), workers=1, store=tmp_path / "s.sqlite", results=tmp_path / "results",
        quiet=True, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_table_of_a_run(tmp_path: Path, two_voices: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = options(tmp_path, "codec2@1200", "mulaw", seeds=(0, 1))
    asked, keys = Counter[str](), coded.keys
    monkeypatch.setattr(coded, "keys", lambda one, line, utterances: asked.update([line.name]) or keys(one, line, utterances))
    result = probe.run("si", wanted)
    assert asked == {"codec2@1200": 1, "mulaw@128": 1}, "records are looked up once"
    rows = files.read(result.folders[0]).astype({"codec": str, "column": str, "utterance": str})
    told = set(zip(rows["codec"], rows["variant"].astype(str), strict=True))
    assert told == {("log-mel", ""), ("chance", ""), ("codec2@1200", ""), ("mulaw@128", probe.VARIANTS["decoded"])}
    errors = rows[rows["column"] == "probe_er"]
    assert len(errors) == 4 * 2, "one row per system and test utterance, seeds summed"
    assert set(errors[errors["codec"] != "chance"]["den"]) == {2.0}
    assert set(errors[errors["codec"] == "chance"]["value"]) == {0.5}
    assert set(rows["column"]) == {
        "probe_er", "probe_params", "probe_train_s", "probe_epoch", "probe_seed_sd", "bitrate_packed"
    }  # fmt: skip
    assert not list((tmp_path / "probes").iterdir()), "checkpoints and inputs are gone when all is trained"
    monkeypatch.setattr(probe, "run_jobs", lambda *_: pytest.fail("a finished probe was trained again"))
    again = files.read(probe.run("si", wanted).folders[0])
    assert sorted(again["value"].dropna()) == sorted(rows["value"].dropna())


def test_a_folder_with_labels_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.PROTOCOLS, "embedded", dict.fromkeys(("asr", "si", "ser"), SMALL))  # type: ignore[arg-type]
    folder = tmp_path / "mine"
    folder.mkdir()
    lines = ["id\tspeaker\temotion"]
    for n in range(20):
        audio.write(folder / f"{n:02d}.wav", (0.1 * np.sin(np.arange(6400) * (0.05 + n % 2))).astype(np.float32), 16000)
        lines.append(f"{n:02d}\t{'ab'[n % 2]}\t{('sad', 'glad')[n // 2 % 2]}")
    mine = {"data": (f"folder:{folder}",), "seeds": (0,)}
    for task, what in (("si", "speaker"), ("ser", "emotion"), ("asr", "text")):
        told = f"into the column `{what}` of {folder / 'transcripts.tsv'}"
        with pytest.raises(BenchError, match=re.escape(told)):
            probe.run(task, replace(options(tmp_path, "mulaw"), task=task, **mine))
    (folder / "transcripts.tsv").write_text("\n".join(lines))
    for task, chance in (("si", 0.5), ("ser", 0.5)):
        [table] = probe.run(task, replace(options(tmp_path, "mulaw"), task=task, **mine)).folders
        rows = files.read(table)
        errors = rows[rows["column"] == "probe_er"]
        assert set(errors["codec"]) == {"log-mel", "chance", "mulaw@128"} and len(errors) == 3 * 2
        assert set(errors[errors["codec"] == "chance"]["value"]) == {chance}


def test_what_trainings_read_lies_where_every_worker_sees_it(
    tmp_path: Path, two_voices: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    monkeypatch.setattr(executors, "shared", lambda name, store: shared)
    seen: list[jobs.Job] = []

    def run(do: object, due: list[jobs.Job], *_: object, **__: object) -> None:
        seen.extend(due)
        assert all(job.inputs.is_file() for job in due)
        raise BenchError("enough")

    monkeypatch.setattr(trainings, "run", run)
    with pytest.raises(BenchError, match=r"^enough$"):
        probe.run("si", options(tmp_path, "mulaw", seeds=(0,)))
    assert seen and all(job.inputs.is_relative_to(shared) and job.folder.is_relative_to(shared) for job in seen)
    assert not list(shared.iterdir()), "it is gone afterwards"


def test_a_codec_with_a_failure_costs_no_other_its_rows(
    tmp_path: Path, two_voices: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy(two_voices.utterances[0].recording(), theirs)
    result = probe.run("si", options(tmp_path, "mulaw", f"published:{theirs}", seeds=(0,)))
    [told] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: left out: ")]
    assert f"{len(two_voices) - 1} of {len(two_voices)} utterances could not be coded" in told and "take them out" in told
    rows = files.read(result.folders[0])
    assert set(rows["codec"].astype(str)) == {"log-mel", "chance", "mulaw@128"} and result.code == 1


def test_what_cannot_be_probed_is_told(tmp_path: Path, two_voices: Dataset) -> None:
    with pytest.raises(BenchError, match="LIMIT does not fit TASK=si"):
        probe.run("si", options(tmp_path, "mulaw", limit=4))
    with pytest.raises(UnknownName, match="librispeech"):
        probe.run("si", replace(options(tmp_path, "mulaw"), data=("librispeach",)))
    with pytest.raises(BenchError, match="no utterance has emotion"):
        probe.run("ser", replace(options(tmp_path, "mulaw"), data=("ravdess",)))
    with pytest.raises(UnknownName, match="protocol"):
        probe.run("si", options(tmp_path, "mulaw", protocol="paper"))


def test_errors_and_chance() -> None:
    found = {name: (num, den) for name, num, den in probe_rows.errors("asr", "the cat", "The cat sat.")}
    assert found == {"probe_wer": (1.0, 3.0), "probe_cer": (4.0, 11.0)}
    assert list(probe_rows.errors("si", 2, 3)) == [("probe_er", 1.0, 1.0)]
    spelt = Division("", (), (), ("u",), {"u": "one two"}, (), "")
    assert {row["column"]: row["value"] for row in probe_rows.chance_rows("asr", spelt)} == {
        "probe_wer": 1.0, "probe_cer": 1.0
    }  # fmt: skip


def test_spread_over_folds_and_seeds() -> None:
    def probed(fold: str, seed: int, wrong: int) -> probe_rows.Probed:
        names = tuple(f"{fold}{n}" for n in range(4))
        division = Division(fold, (), (), names, dict.fromkeys(names, 0), ("x", "y"), fold)
        outputs = {name: int(place < wrong) for place, name in enumerate(names)}
        result = {"outputs": outputs, "parameters": 1e6, "seconds": 2.0, "best_epoch": 3}
        job = jobs.Job("si", Path("x"), division, SMALL, seed, Path("s"), "k")
        return probe_rows.Probed("c", "", None, division, seed, job, result)

    some = [probed("1", 0, 0), probed("1", 1, 2), probed("2", 0, 4), probed("2", 1, 2)]
    rows = list(probe_rows._subject_rows("si", some))
    values = {name: {row["value"] for row in rows if row["column"] == name} for name in {row["column"] for row in rows}}
    assert values["probe_seed_sd"] == {0.0}
    [spread] = values["probe_fold_sd"]
    assert spread == pytest.approx(np.std([0.25, 0.75], ddof=1))
    assert sum(row["num"] for row in rows if row["column"] == "probe_er") == 8
    assert {row["detail"] for row in rows if "detail" in row} == {"x | x", "x | y", "y | y", "y | x"}
