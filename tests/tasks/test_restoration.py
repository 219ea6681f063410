"""Enhancement and separation from mixtures to rows: what is mixed of whom, what the table says, what is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import audio, data
from bench.coding import codec as coding
from bench.data import noise, two_voices
from bench.data.two_voices import TwoVoices
from bench.engine import executors
from bench.errors import BenchError, UnknownName
from bench.probes.restoration import settings
from bench.results import files
from bench.speech import Dataset, Utterance
from bench.stats.labels import system_labels
from bench.tasks import cards, coded, encoded, mixtures, probe, restoration, trainings
from bench.tasks.options import Options

TINY = replace(
    settings.PROTOCOLS["embedded"], dim=8, attention_heads=2, ffn=8, layers=1, kernel=3, epochs=1, batch=8, crop_s=0.2, width=8
)
RATE = 16000
CARD: dict[str, Any] = {"parts": {}, "split": {}, "draws": {"train": 1, "valid": 1, "test": 1}}


def toy(folder: Path, speakers: int, rates: tuple[int, ...] = (RATE,)) -> Dataset:
    """Two utterances of 0.5 and 0.4 s of each speaker, with words of their own."""
    random, made = np.random.default_rng(0), []
    for speaker in range(speakers):
        rate = rates[speaker % len(rates)]
        for n in range(2):
            time = np.arange((5 - n) * rate // 10) / rate
            wave = 0.2 * np.sign(np.sin(2 * np.pi * (110 + 30 * speaker) * time)) + random.normal(0, 0.02, time.size)
            path = folder / "toy" / f"s{speaker}_{n}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, wave.astype(np.float32), rate)
            made.append(Utterance(path.stem, path, f"s{speaker}", f"text {speaker} {n}"))
    return Dataset("toy", tuple(made))


@pytest.fixture
def six_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    dataset = toy(tmp_path, 6)
    monkeypatch.setattr(data, "load", lambda source: dataset)
    monkeypatch.setitem(settings.PROTOCOLS, "embedded", TINY)  # type: ignore[index]
    return dataset


def wanted(tmp_path: Path, task: str, *codecs: str, **more: Any) -> Options:
    return Options(
        task, codecs, ("folder:/toy",), metrics=("stoi",), workers=1, store=tmp_path / "s.sqlite",
        results=tmp_path / "results", quiet=True, device="cpu", **more,
    )  # fmt: skip


@pytest.mark.parametrize(("task", "outputs"), [("enhancement", {""}), ("separation", {"s1", "s2"})])
def test_table_of_a_run(
    tmp_path: Path, six_voices: Dataset, monkeypatch: pytest.MonkeyPatch, task: str, outputs: set[str]
) -> None:
    asked = wanted(tmp_path, task, "codec2@1200", seeds=(0, 1))
    module = cards.module(task)
    looked, keys = Counter[str](), coded.keys
    monkeypatch.setattr(
        coded, "keys", lambda one, line, some: looked.update([f"{line.producer} {len(some)}"]) or keys(one, line, some)
    )
    [folder] = module.run(asked).folders
    assert set(looked.values()) == {1}, "records are looked up once"
    rows = files.read(folder).astype(dict.fromkeys(("codec", "column", "utterance", "output", "against", "role"), str))
    rows["codec"] = system_labels(rows)  # by their names in the table
    mixed = "mixture" if task == "separation" else "noisy"
    assert set(rows["codec"]) == {
        "reference@clean", f"reference@{mixed}", "codec2@1200", "codec2@1200 (ceiling)", "codec2@1200 (untreated)",
    }  # fmt: skip
    scores = rows[rows["column"] == "stoi"]
    assert set(scores["output"]) == outputs and (scores["output"] == scores["against"]).all()
    assert not scores.duplicated(["codec", "utterance"]).any(), "seeds are one row, voices are utterances"
    if task == "separation":
        for name, voice, speaker in set(zip(scores["utterance"], scores["output"], scores["speaker"].astype(str), strict=True)):
            of_voice = dict(zip(("s1", "s2"), name.removesuffix(f"_{voice}").split("+"), strict=True))
            assert of_voice[voice].startswith(f"{speaker}_"), "each voice has its own speaker"
    means = scores.groupby("codec")["value"].mean()
    assert means["reference@clean"] == pytest.approx(1.0, abs=1e-3) and means[f"reference@{mixed}"] < 0.99
    wrong = rows[rows["column"] == "wrong_tokens"].groupby("codec")["value"].mean()
    assert set(wrong.index) == {"codec2@1200", "codec2@1200 (untreated)"} and wrong.between(0, 1).all()
    assert {"probe_params", "probe_train_s", "probe_epoch"} <= set(rows["column"])
    assert not [path for path in (tmp_path / "restoration").iterdir() if path.suffix == ".pt"]
    monkeypatch.setattr(probe, "run_jobs", lambda *_: pytest.fail("a finished head was trained again"))
    again = files.read(module.run(asked).folders[0])
    assert sorted(again["value"].dropna()) == sorted(rows["value"].dropna())
    page = (folder / "leaderboard.md").read_text()
    lines = [line for line in page.splitlines() if "codec2@1200 (untreated)" in line]
    assert f"No treated row is better than reference@{mixed}, which no codec was applied to, in STOI." in page
    assert lines and not any("**" in line or "◆" in line for line in lines), "a row of reference is never best"


def test_a_recording_is_coded_once_however_often_noise_is_drawn_over_it(
    tmp_path: Path, six_voices: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of = cards.load("enhancement").settings
    material = mixtures.make("enhancement", "folder:/toy", settings_of)
    singles, of = material.singles or pytest.fail("noise is drawn over these")
    draws = settings_of["draws"]
    assert len(singles) == 12 and len(of) == len(material.dataset) == 4 * sum(draws.values()) and min(draws.values()) > 1
    by_id = {u.id: u for u in singles}
    for u in material.dataset:
        assert by_id[of[u.id]].path == u.path
        assert (by_id[of[u.id]].read(RATE)[0] == encoded.as_long(u, RATE, mixtures.CLEAN)).all(), "the same wave as before"
    assert mixtures.make("separation", "folder:/toy", CARD).singles is None, "voices are cut to their mixture"
    waves: Counter[bytes] = Counter()
    encode = coding.encode

    def counted(codec: Any, some: Any) -> Any:
        waves.update(wave.tobytes() for wave in some)
        return encode(codec, some)

    monkeypatch.setattr(coding, "encode", counted)
    asked = replace(wanted(tmp_path, "enhancement", "codec2@1200", seeds=(0,)), executor="inline")
    [folder] = cards.module("enhancement").run(asked).folders
    clean = {u.read(8000)[0].tobytes() for u in singles}
    assert {waves[wave] for wave in clean} <= {1, 2}, "as a token sequence, and of the tested ones as the ceiling"
    rows = files.read(folder)
    assert len(rows[(rows["column"] == "stoi") & (rows["role"] == "ceiling")]) == len(material.test)


def test_what_heads_read_lies_where_every_worker_sees_it(
    tmp_path: Path, six_voices: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    monkeypatch.setattr(executors, "shared", lambda name, store: shared)

    def run(do: object, due: list[Any], *_: object, **__: object) -> None:
        assert all(job.pairs.is_file() and job.pairs.is_relative_to(shared) for job in due)
        assert all(job.folder.is_relative_to(shared) for job in due)
        raise BenchError("enough")

    monkeypatch.setattr(trainings, "run", run)
    with pytest.raises(BenchError, match=r"^enough$"):
        cards.module("enhancement").run(wanted(tmp_path, "enhancement", "codec2@1200", seeds=(0,)))
    assert not list(shared.iterdir()), "it is gone afterwards"


def test_a_codec_without_tokens_costs_no_other_its_rows(
    tmp_path: Path, six_voices: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    result = cards.module("enhancement").run(wanted(tmp_path, "enhancement", "opus@6", "codec2@1200", seeds=(0,)))
    [told] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: left out: ")]
    assert "opus@6 sends no tokens" in told and result.code == 1
    assert set(files.read(result.folders[0])["codec"].astype(str)) == {"identity", "codec2@1200"}


def test_no_part_shares_a_speaker(six_voices: Dataset) -> None:
    for task in ("enhancement", "separation"):
        made = mixtures.make(task, "folder:/toy", CARD)
        by_id = {u.id: u for u in made.dataset}
        assert len(by_id) == 12
        heard = []
        for part in (made.train, made.valid, made.test):
            some = made.dataset.select([by_id[name] for name in part])
            voices = set(mixtures.voices(some))
            if task == "enhancement":  # babble is made of voices, too
                voices |= {path.stem.split("_")[0] for u in some for path in u.mix.files}  # type: ignore[union-attr]
            heard.append(voices)
        assert [len(voices) for voices in heard] == [2, 2, 2] and len(set.union(*heard)) == 6


def test_embedded_parts() -> None:
    for task, names in (("enhancement", ("clean",)), ("separation", ("s1", "s2"))):
        made = mixtures.make(task, "embedded", cards.load(task).settings)
        by_id = {u.id: u for u in made.dataset}
        texts = [{str(by_id[name].path) for name in some} for some in (made.train, made.valid, made.test)]
        assert not texts[0] & texts[1] and not texts[0] & texts[2]
        assert made.clean == names and all(set(names) == set(u.recordings) for u in made.dataset)
        assert made.tested.name == "embedded" and len(made.tested.speakers) == 6
        again = mixtures.make(task, "embedded", cards.load(task).settings)
        assert [repr(u.mix) for u in again.dataset] == [repr(u.mix) for u in made.dataset], "seeded"


def test_two_voices_add_up(tmp_path: Path) -> None:
    single = toy(tmp_path, 3)
    for u in two_voices.mix(single):
        first, second = (u.read(RATE, name)[0] for name in ("s1", "s2"))
        mixed = u.read(RATE)[0]
        assert len(mixed) == max(len(first), len(second))
        gain = np.linalg.lstsq(
            np.stack([np.pad(one, (0, len(mixed) - len(one))) for one in (first, second)], axis=1), mixed, rcond=None
        )[0]  # fmt: skip
        levels = [10 * np.log10(np.mean(np.square(g * one))) for g, one in zip(gain, (first, second), strict=True)]
        assert levels[0] - levels[1] == pytest.approx(u.mix.ratio_db, abs=0.05)  # type: ignore[union-attr]
        assert u.extra["speakers"][0] != u.extra["speakers"][1]
        assert len(encoded.as_long(u, RATE, "s1")) == len(encoded.as_long(u, RATE, "s2")) == len(mixed)


def test_babble_is_of_the_voices_that_are_given(tmp_path: Path) -> None:
    single = toy(tmp_path, 5)
    noisy = noise.add(single, babble=single.utterances)
    files_of = {path for u in noisy for path in u.mix.files}  # type: ignore[union-attr]
    assert files_of and files_of <= {u.path for u in single}


def test_what_cannot_be_done_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = wanted(tmp_path, "enhancement", "opus@6")
    with pytest.raises(BenchError, match=r"opus@6 sends no tokens that a network could predict; TASK=enhancement needs"):
        restoration.run(restoration.ENHANCEMENT, asked)
    with pytest.raises(BenchError, match="codec2@1200 has no continuous features; leave out --continuous for it"):
        restoration.run(restoration.ENHANCEMENT, replace(asked, codecs=("codec2@1200",), continuous=True))
    with pytest.raises(BenchError, match="LIMIT does not fit TASK=separation"):
        restoration.run(restoration.SEPARATION, replace(asked, codecs=("codec2@1200",), limit=3))
    with pytest.raises(UnknownName, match="protocol"):
        restoration.run(restoration.SEPARATION, replace(asked, codecs=("codec2@1200",), protocol="large"))
    with pytest.raises(BenchError, match="write DATA=embedded"):
        mixtures.make("enhancement", "embedded-noisy", CARD)
    for task in ("enhancement", "separation"):
        with pytest.raises(BenchError, match=r"1 speaker\(s\) in its train part; 2 are needed"):
            mixtures.make(task, "embedded#af_alloy+af_bella+af_nova", cards.load(task).settings)
    dataset = toy(tmp_path, 5)
    monkeypatch.setattr(data, "load", lambda source: dataset)
    with pytest.raises(BenchError, match=r"toy: 5 speaker\(s\); 6 are needed so that training, validation and test share none"):
        mixtures.make("separation", "folder:/toy", CARD)
    dataset = toy(tmp_path / "rates", 6, (16000, 8000))
    with pytest.raises(BenchError, match=r"toy: .* has recordings at 8000 and 16000 Hz; bring the set to one rate first"):
        for _ in range(8):
            mixtures.make("separation", "folder:/toy", CARD | {"draws": {"train": 6, "valid": 6, "test": 6}})
    [first, *_, last] = dataset.utterances
    with pytest.raises(BenchError, match="a mixture of voices at 16000 and 8000 Hz"):
        TwoVoices("a", last.recording(), 0.0)(first.read()[0], 16000)


def test_a_speaker_in_two_parts_is_told(tmp_path: Path) -> None:
    some = toy(tmp_path, 2)
    with pytest.raises(BenchError, match="speaker s0 is in both its train and its test part"):
        mixtures._check_speakers("toy", {"train": some, "valid": some.select([]), "test": some})
