"""Synthesis from speech to table: what its rows say, that nothing is trained twice, what is refused in one line."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench import cards as codec_cards
from bench import data
from bench.data import embedded
from bench.errors import BenchError, UnknownName
from bench.probes.synthesis import settings
from bench.results import files
from bench.speech import BY_HEART, Dataset, Utterance
from bench.tasks import cards, speaking, synthesis, trainings
from bench.tasks.options import Options

TINY = replace(
    settings.PROTOCOLS["embedded"], layers=1, width=48, feed_forward=96, text_width=48, embedding_dim=16, batch=2, epochs=2,
    samples=2, length="target",
)  # fmt: skip


def options(tmp_path: Path, *codecs: str, **more: object) -> Options:
    return Options(
        "synthesis", codecs, ("embedded",), workers=1, store=tmp_path / "s.sqlite", results=tmp_path / "results",
        quiet=True, device="cpu", executor="inline", **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Two short shipped sentences, and a decoder too small to learn them."""
    whole = embedded.load(data.Source("embedded"))
    few = sorted(whole, key=lambda u: u.extra["samples"])[:2]
    dataset = Dataset("embedded", tuple(few), synthetic=True)
    monkeypatch.setattr(data, "load", lambda source: dataset)
    monkeypatch.setitem(settings.PROTOCOLS, "embedded", TINY)  # type: ignore[arg-type]
    return dataset


def test_table_of_a_run(
    tmp_path: Path, two: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = options(tmp_path, "focalcodec@12.5", seeds=(0, 1))
    result = synthesis.run(wanted)
    assert "tells nothing of a codec's worth" in capsys.readouterr().out
    rows = files.read(result.folders[0]).astype({"codec": str, "column": str, "utterance": str, "role": str, "condition": str})
    assert set(rows["condition"]) == {BY_HEART}
    assert set(zip(rows["codec"], rows["role"], strict=True)) == {
        ("identity", "reference"), ("focalcodec@12.5", "synthesis"), ("focalcodec@12.5", "ceiling"),
    }  # fmt: skip
    spoken = rows[rows["role"] == "synthesis"]
    for column in (
        "distillmos",
        "wer",
        "dwer",
        "sim_resemblyzer",
        "rtf_synthesis",
        "tokens_alike",
        "probe_params",
        "probe_seed_sd",
    ):
        some = spoken[spoken["column"] == column]
        assert sorted(some["utterance"]) == sorted(u.id for u in two), f"{column}: one row an utterance, seeds summed"
        assert some["failure"].isna().all() and some["value"].notna().all(), column
    words = {u.id: len(str(u.text).split()) for u in two}
    for row in spoken[spoken["column"] == "wer"].to_dict("records"):
        assert row["den"] == 2 * words[row["utterance"]], "two seeds"
    ceiling = rows[(rows["role"] == "ceiling") & (rows["column"] == "sim_resemblyzer")]["value"].mean()
    assert 0.5 < ceiling < 1 and (rows[(rows["role"] == "reference") & (rows["column"] == "dwer")]["value"] == 0).all()
    text = (result.folders[0] / "leaderboard.md").read_text()
    assert "What was tested is what was trained on" in text
    assert not list((tmp_path / "synthesis").glob("*.pt")), "checkpoints are gone when all is trained"
    monkeypatch.setattr(trainings, "run", lambda *_, **__: pytest.fail("a finished decoder was trained again"))
    again = files.read(synthesis.run(wanted).folders[0])
    assert sorted(again["value"].dropna()) == sorted(rows["value"].dropna())
    for path in (tmp_path / "synthesis").glob("*.decoder"):
        path.write_bytes(b"damaged")
    monkeypatch.undo()
    monkeypatch.setattr(data, "load", lambda source: two)
    monkeypatch.setitem(settings.PROTOCOLS, "embedded", TINY)
    renewed = files.read(synthesis.run(wanted).folders[0])
    timed = ~renewed["column"].astype(str).isin(["probe_train_s", "rtf_synthesis"])
    before = rows[~rows["column"].isin(["probe_train_s", "rtf_synthesis"])]
    assert sorted(renewed[timed]["value"].dropna()) == sorted(before["value"].dropna()), "one seed, one decoder"


def test_processes_give_what_one_process_gives(tmp_path: Path, two: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(two, utterances=two.utterances[:1])
    monkeypatch.setattr(data, "load", lambda source: one)
    found = []
    for executor in ("inline", "processes"):
        wanted = replace(
            options(tmp_path / executor, "focalcodec@12.5", seeds=(0,)), executor=executor, metrics=("sim_resemblyzer",)
        )
        (tmp_path / executor).mkdir()
        rows = files.read(synthesis.run(wanted).folders[0])
        same = rows[rows["column"].astype(str).isin(["sim_resemblyzer", "tokens_alike", "probe_epoch", "wave"])]
        found.append(sorted(zip(same["codec"].astype(str), same["utterance"].astype(str), same["column"].astype(str),
                                same["value"].astype(str), same["detail"].astype(str), strict=True)))  # fmt: skip
    assert found[0] == found[1]


def test_what_cannot_be_spoken_is_told(tmp_path: Path, two: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchError, match="opus@6: a decoder cannot write what it sends"):
        synthesis.run(options(tmp_path, "opus@6"))
    with pytest.raises(BenchError, match=r"mulaw@128: 1 codebooks at up to \d+ Hz"):
        synthesis.run(options(tmp_path, "mulaw"))
    with pytest.raises(UnknownName, match="synthesis protocol"):
        synthesis.run(options(tmp_path, "focalcodec@12.5", protocol="paper"))
    silent = replace(two, utterances=(replace(two.utterances[0], text=None),))
    monkeypatch.setattr(data, "load", lambda source: silent)
    with pytest.raises(BenchError, match="has no text to read"):
        synthesis.run(options(tmp_path, "focalcodec@12.5"))


def test_letters_outside_the_set_are_told() -> None:
    speaking.check_text(Utterance("u", None, "s", "It's 5 o’clock — “no”, she said (twice)!"))
    for text, told in (("Straße", "ß"), ("naïve", "ï"), ("日本語", ["日", "本", "語"][0])):
        with pytest.raises(BenchError, match=f"u: its text holds .*{told}.* spell it") as caught:
            speaking.check_text(Utterance("u", None, "s", text))
        assert "\n" not in str(caught.value)
    with pytest.raises(BenchError, match="no text to read"):
        speaking.check_text(Utterance("u", None, "s", "..."))


LIBRISPEECH = "#train-clean-100+train-clean-360+dev-clean+test-clean"


def release(root: Path, *, part: str = "") -> None:
    """LibriSpeech-460 as it is published, in small: shipped sentences, and silence of 21, 61 and 70 s; without `part`."""
    speech = iter(sorted(embedded.load(data.Source("embedded")), key=lambda u: u.extra["samples"]))
    held = {"train-clean-100": (0, 0, 70), "train-clean-360": (0, 61), "dev-clean": (0,), "test-clean": (0, 21)}
    for number, (subset, lasts) in enumerate(held.items(), 100):
        if subset == part:
            continue
        chapter = root / "LibriSpeech" / subset / str(number) / "7"
        chapter.mkdir(parents=True)
        lines = []
        for place, seconds in enumerate(lasts):
            name, sentence = f"{number}-7-{place:04d}", next(speech)
            wave = np.zeros(seconds * 16000, np.float32) if seconds else sentence.read(16000)[0]
            soundfile.write(chapter / f"{name}.flac", wave, 16000)
            lines.append(f"{name} {str(sentence.text).upper().strip('.')}")
        (chapter / f"{number}-7.trans.txt").write_text("\n".join(lines) + "\n")


def test_librispeech_by_its_subsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the published layout; recordings beyond 20 s are not tested, beyond 60 s not learnt from."""
    release(tmp_path)
    monkeypatch.setitem(settings.PROTOCOLS, "embedded", TINY)  # type: ignore[arg-type]
    source = f"librispeech:{tmp_path}{LIBRISPEECH}"
    _, division = synthesis.divided(data.load(source), "librispeech", cards.load("synthesis"))
    assert division.train == ("100-7-0000", "100-7-0001", "101-7-0000")
    assert (division.valid, division.test) == (("102-7-0000",), ("103-7-0000",))
    wanted = replace(options(tmp_path, "focalcodec@12.5", seeds=(0,)), data=(source,), metrics=("sim_resemblyzer",))
    result = synthesis.run(wanted)
    rows = files.read(result.folders[0]).astype({"utterance": str, "condition": str, "role": str})
    assert set(rows["utterance"]) == {"103-7-0000", "(set)"} and set(rows["condition"]) == {"clean"} and result.code == 0
    assert {"synthesis", "ceiling", "reference"} == set(rows["role"])
    assert "by heart" not in (result.folders[0] / "leaderboard.md").read_text()
    release(tmp_path / "b", part="dev-clean")
    with pytest.raises(BenchError, match=r"no utterance for the valid part; synthesis needs train-, dev- and test- subsets"):
        synthesis.run(replace(wanted, data=(f"librispeech:{tmp_path / 'b'}#train-clean-100+test-clean",)))


def test_a_codec_that_cannot_be_trained_costs_no_other_its_rows(
    tmp_path: Path, two: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    result = synthesis.run(options(tmp_path, "opus@6", "focalcodec@12.5", seeds=(0,), metrics=("sim_resemblyzer",)))
    told = [line for line in capsys.readouterr().err.splitlines() if "opus@6" in line and "utterance/s" not in line]
    assert len(told) == 1 and told[0].startswith("warning: left out: opus@6: a decoder cannot write what it sends")
    rows = files.read(result.folders[0])
    assert set(rows["codec"].astype(str)) == {"identity", "focalcodec@12.5"} and result.code == 1


PRINTED = Path(os.environ.get("BENCH_SHARED", "../shared")) / "specs" / "reported" / "focalcodec_table5_downstream.csv"


@pytest.mark.skipif(not PRINTED.is_file(), reason="needs: the reference folder with specs/reported")
def test_cards_tell_what_the_paper_prints_of_synthesis() -> None:
    with PRINTED.open(newline="", encoding="utf-8") as lines:
        printed = [row for row in csv.DictReader(lines) if row["codec"] != "Reference"]
    wanted = sorted((float(row["tts_utmos"]), float(row["tts_dwer"]), float(row["tts_sim"])) for row in printed)
    entries = [entry for card in codec_cards.readable()[0] for entry in card.reported if entry.task == "synthesis"]
    assert sorted(tuple(entry.scores[name] for name in ("utmos", "dwer", "sim")) for entry in entries) == wanted
