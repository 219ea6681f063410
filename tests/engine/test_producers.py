"""Producers through the whole engine: no input audio, two outputs, several references; and what goes wrong in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import toys

from bench import audio, cards
from bench.engine import scoring, systems, worker
from bench.engine.plan import Comparison, Line, Plan
from bench.engine.runner import Runner
from bench.metrics import Column, Metric, Signal
from bench.results import rows as row_files
from bench.speech import Dataset, Utterance
from bench.store import Store

CARD = """
family = "coarse"
title = "Coarse"
adapter = "coarse"
kind = "reference"
licence = "none"
sample_rate = 16000
"""
TROUBLES = ("", "dies", "exits", "interrupts", "wordless", "hangs", "memory", "breaks", "batch", "count", "load", "load-exits")


@pytest.fixture(autouse=True)
def coarse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Codecs of another package, one point for everything that can go wrong with 19,200 samples."""
    package = tmp_path / "site" / "coarsecodec"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "adapter.py").write_text("from toys import load\n")
    points = [f'[points."{name or "fine"}"]\nsettings = {{trouble = "{name}", on = 19200}}\n' for name in TROUBLES]
    (package / "coarse.toml").write_text(CARD + "".join(points))
    info = tmp_path / "site" / "coarsecodec-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coarsecodec\nVersion: 1.0\n")
    entry = "[bench.adapters]\ncoarse = coarsecodec.adapter\n[bench.cards]\ncoarse = coarsecodec\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for cached in (cards._paths, cards.load):
        cached.cache_clear()
    yield
    for cached in (cards._paths, cards.load):
        cached.cache_clear()


def run(plan: Plan, store: Path) -> pd.DataFrame:
    with Store(store) as opened:
        runner = Runner(plan, opened)
        runner.run()
        return row_files.frame(plan, opened, runner.failures)


def plan(dataset: Dataset, *codecs: str, **more: object) -> Plan:
    return Plan("resynthesis", tuple(systems.systems(codecs)), dataset, ("stoi",), workers=2, **more)  # type: ignore[arg-type]


def test_synthesis_needs_no_audio(tmp_path: Path) -> None:
    made = toys.Reader()._say("hello")
    audio.write(tmp_path / "hello.wav", made, 16000)
    said = Utterance("hello", None, "s0", text="hello", recordings={"target": tmp_path / "hello.wav"}, aligned=False)
    mute = replace(said, id="mute", text=None)
    [system] = systems.systems(["identity"])
    wanted = Plan(
        "synthesis", (system,), Dataset("texts", (said, mute)), (), lines=(Line(system, toys.Reader()),),
        comparisons=(Comparison(("si_sdr",), against="target"),), workers=1,
    )  # fmt: skip
    rows = run(wanted, tmp_path / "s.sqlite")
    [row] = rows[rows["column"] == "si_sdr"].to_dict("records")
    assert row["value"] > 40 and row["role"] == "synthesis" and row["against"] == "target" and row["utterance"] == "hello"


def test_separation_gives_two_waves(tmp_path: Path) -> None:
    first, second = toys.speechlike(1, 1.5), toys.speechlike(2, 1.5)
    for name, wave in (("first", first), ("second", second), ("both", first + second)):
        audio.write(tmp_path / f"{name}.wav", wave, 16000)
    recordings = {name: tmp_path / f"{name}.wav" for name in ("first", "second")}
    item = Utterance("pair", tmp_path / "both.wav", "s0", recordings=recordings)
    [system] = systems.systems(["identity"])
    comparisons = tuple(Comparison(("si_sdr",), against=name, output=name) for name in ("first", "second"))
    wanted = Plan(
        "separation", (system,), Dataset("pairs", (item,)), (), lines=(Line(system, toys.Splitter()),),
        comparisons=comparisons, workers=1,
    )  # fmt: skip
    rows = run(wanted, tmp_path / "s.sqlite")
    scores = rows[rows["metric"] == "si_sdr"].set_index("output")
    assert set(scores.index) == {"first", "second"} == set(scores["against"])
    assert scores["value"].min() > 40
    again = run(wanted, tmp_path / "s.sqlite")
    pd.testing.assert_frame_equal(rows, again)


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ("dies", "crash"),
        ("exits", "codec_error"),
        ("interrupts", "codec_error"),
        ("wordless", "codec_error"),
        ("hangs", "hang"),
        ("memory", "out_of_memory"),
        ("breaks", "codec_error"),
    ],
)
def test_one_bad_utterance_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, kind: str) -> None:
    """The codec is to blame by name; the other utterances and the other codec are scored."""
    # A busy machine takes longer than that to start a worker: nothing else hangs.
    monkeypatch.setenv("BENCH_JOB_LIMIT", "6" if trouble == "hangs" else "300")
    dataset = toys.make_set(tmp_path / "a", 6)
    wanted = {u.id for u in dataset if len(u.read()[0]) == 19200}
    rows = run(plan(dataset, f"coarse@{trouble}", "coarse@fine"), tmp_path / "s.sqlite")
    stoi = rows[rows["column"] == "stoi"]
    failed = stoi[stoi["failure"].notna()]
    assert set(failed["codec"]) == {f"coarse@{trouble}"} and set(failed["failure"]) == {kind}
    assert set(failed["utterance"]) == wanted or trouble == "hangs"
    assert stoi.loc[stoi["failure"].isna(), "value"].min() > 0.99
    assert stoi[stoi["codec"] == "coarse@fine"]["failure"].isna().all()


@pytest.mark.parametrize("trouble", ["load", "load-exits", "count"])
def test_a_codec_that_is_no_use_leaves_the_others_their_table(tmp_path: Path, trouble: str) -> None:
    dataset = toys.make_set(tmp_path / "a", 4)
    rows = run(plan(dataset, f"coarse@{trouble}", "coarse@fine"), tmp_path / "s.sqlite")
    stoi = rows[rows["column"] == "stoi"]
    bad = stoi[stoi["codec"] == f"coarse@{trouble}"]
    assert len(bad) == 4 and bad["failure"].notna().all()
    assert stoi[stoi["codec"] == "coarse@fine"]["value"].min() > 0.99


def test_what_nobody_foresaw_costs_its_job_and_names_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the engine itself: the other system's rows are there, and the reason tells file and line."""
    make = worker._Work.make

    def broken(work: worker._Work) -> None:
        if work.job.line is not None and work.job.line.name == "coarse@breaks":
            raise KeyError("planted")
        make(work)

    monkeypatch.setattr(worker._Work, "make", broken)
    wanted = plan(toys.make_set(tmp_path / "a", 3), "coarse@breaks", "coarse@fine", executor="inline")
    rows = run(wanted, tmp_path / "s.sqlite")
    stoi = rows[rows["column"] == "stoi"]
    bad = stoi[stoi["codec"] == "coarse@breaks"]
    assert len(bad) == 3 and set(bad["failure"]) == {"error"}
    assert all("KeyError: 'planted'" in text and "test_producers.py, line" in text for text in bad["detail"])
    assert stoi[stoi["codec"] == "coarse@fine"]["value"].min() > 0.99


@pytest.mark.parametrize("returned", [None, {}, {"toy": None}, {"toy": "x"}, {"toy": float("nan")}])
def test_a_metric_that_answers_wrongly_fails_alone(returned: object) -> None:
    metric = Metric("toy", (Column("toy", "Toy"),), lambda reference, degraded: returned)
    signal = Signal(toys.speechlike(1, 0.5), 16000)
    assert set(scoring.score(metric, signal, signal)["toy"]) == {"failure", "detail"}


def test_two_lanes_give_the_rows_of_one(tmp_path: Path) -> None:
    dataset = toys.make_set(tmp_path / "a", 7)
    columns = ("stoi", "dnsmos_p808")
    one = Plan("resynthesis", tuple(systems.systems(["coarse@fine", "mulaw"])), dataset, columns, workers=1)
    timed = ["rtf_encode", "rtf_decode"]
    first = run(one, tmp_path / "one.sqlite")
    second = run(replace(one, two_lanes=True), tmp_path / "two.sqlite")
    keep = ~first["column"].isin(timed)
    pd.testing.assert_frame_equal(first[keep], second[keep])


@pytest.mark.parametrize("keep", ["codes", "scores"])
def test_what_is_not_kept_is_coded_again(tmp_path: Path, keep: str, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = toys.make_set(tmp_path / "a", 3)
    whole = run(plan(dataset, "mulaw"), tmp_path / "whole.sqlite")
    some = run(plan(dataset, "mulaw", keep=keep), tmp_path / "some.sqlite")
    with Store(tmp_path / "whole.sqlite") as whole_store, Store(tmp_path / "some.sqlite") as some_store:
        assert some_store.stages()["coded"][1] < whole_store.stages()["coded"][1]
    names = ["codec", "utterance", "column", "value"]
    timed = ["rtf_encode", "rtf_decode", "code_usage", "norm_entropy", "norm_entropy_all"]
    kept = [
        frame.loc[~frame["column"].isin(timed), names].reset_index(drop=True).astype(dict.fromkeys(names[:3], str))
        for frame in (whole, some)
    ]
    pd.testing.assert_frame_equal(*kept)
    assert "coded again" not in capsys.readouterr().out
    more = run(replace(plan(dataset, "mulaw", keep=keep), columns=("stoi", "si_sdr"), comparisons=()), tmp_path / "some.sqlite")
    assert more[more["column"] == "si_sdr"]["value"].notna().all()
    assert f"3 utterances were coded again: the store keeps {keep} only" in capsys.readouterr().out


def test_small_windows_change_nothing(tmp_path: Path) -> None:
    dataset = toys.make_set(tmp_path / "a", 11)
    whole = run(plan(dataset, "mulaw", "identity"), tmp_path / "a.sqlite")
    parts = run(plan(dataset, "mulaw", "identity", window=3), tmp_path / "b.sqlite")
    keep = ~whole["column"].isin(["rtf_encode", "rtf_decode"])
    pd.testing.assert_frame_equal(whole[keep], parts[keep])
