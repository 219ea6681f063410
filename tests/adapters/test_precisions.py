"""Precisions of an operating point: named, opt-in, told in label, key and row; the plain point is not touched."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from bench import adapters, cards, data
from bench.audio import read, write
from bench.cli import main
from bench.coding.codec import encode, roundtrip
from bench.engine import systems
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.errors import BadCard, BenchError, UnknownName
from bench.models.blocks.fast_linear import layers_of
from bench.models.blocks.stored import PRECISIONS
from bench.report import waves
from bench.results import rows
from bench.speech import Dataset, Utterance
from bench.store import Store

FAMILY = "focalcodec"


def noise(samples: int = 8000) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.1, samples).astype(np.float32)


def test_the_card_names_what_the_program_has() -> None:
    assert set(cards.load(FAMILY).precisions) == set(PRECISIONS)


@pytest.mark.parametrize("point", [*cards.load(FAMILY).points])
@pytest.mark.parametrize("precision", cards.load(FAMILY).precisions)
def test_label_and_key_carry_the_precision(point: str, precision: str) -> None:
    plain = systems.system(f"{FAMILY}@{point}", want="random")
    other = systems.system(f"{FAMILY}@{point}+{precision}", want="random")
    assert other.label == f"{FAMILY}@{point}+{precision} [random]" and other.key != plain.key
    version = {"precision_version": 2} if precision == "fp16" else {}
    assert dict(other.point.settings) == {**plain.point.settings, "precision": precision, **version}
    same = dataclasses.replace(other.point, point=plain.point.point, settings=plain.point.settings)
    assert same == plain.point, "all else is the point's"


def test_a_precision_is_asked_for_by_name_alone() -> None:
    assert not any("precision" in point.settings for point in cards.all_points())
    with pytest.raises(UnknownName, match=r"int9.*int8"):
        cards.resolve("focalcodec@50+int9")
    with pytest.raises(BenchError, match="kept in float32 alone; write opus@6"):
        cards.resolve("opus@6+int8")
    with pytest.raises(UnknownName, match="operating point"):
        cards.resolve("focalcodec@51+int8")
    odd = dataclasses.replace(cards.resolve("focalcodec@50"), settings={"model": "50hz", "precision": "int4"})
    with pytest.raises((UnknownName, BadCard), match="int4"):
        adapters.load(odd, systems.system("focalcodec@50").weights)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_codes_and_waves_of_the_nano_weights_stay_near(precision: str) -> None:
    plain = systems.system("focalcodec@50")
    a = adapters.load(plain.point, plain.weights)
    b = adapters.load(systems.system(f"focalcodec@50+{precision}").point, plain.weights)
    stored = [layer for layer in layers_of(b.network) if layer.stored]
    assert stored and not any(layer.stored for layer in layers_of(a.network))
    speech = [read(one.recording())[0][8000:16000] for one in data.load("embedded").utterances[:6]]
    for heard in ([noise()], speech):
        [line] = waves.compare(a, b, heard, (0.5,))
        assert line.equal > (0.95 if precision == "fp16" else 0.6) and line.snr_db > (35 if precision == "fp16" else 10)
    mixed = [noise(8000), noise(5000), noise(8000), noise(3210)]
    together = encode(b, mixed)
    assert [one.sha256 for one in together] == [encode(b, [wave])[0].sha256 for wave in mixed]
    assert len(roundtrip(b, mixed[1])[1]) == 5000


def test_rows_carry_the_precision(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(), 16000)
    speech = Dataset("one", (Utterance("a", tmp_path / "a.wav", "s"),))
    chosen = tuple(systems.systems(["focalcodec@50", "focalcodec@50+int8"]))
    plan = Plan("resynthesis", chosen, speech, ("stoi",), always=())
    with Store(tmp_path / "store.sqlite") as store:
        runner = Runner(plan, store)
        runner.run()
        frame = rows.frame(plan, store, runner.failures)
    found = frame[["codec", "settings", "system_key"]].drop_duplicates().set_index("codec")
    assert set(found.index) == {"focalcodec@50", "focalcodec@50+int8"} and found["system_key"].nunique() == 2
    assert json.loads(found["settings"]["focalcodec@50+int8"])["precision"] == "int8"
    assert "precision" not in json.loads(found["settings"]["focalcodec@50"])


def test_precisions_are_compared_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--waves", "focalcodec@50", "focalcodec@50+fp16", "--seconds", "1"]) == 0
    told = capsys.readouterr().out
    assert "A: focalcodec@50 [nano]" in told and "B: focalcodec@50+fp16 [nano]" in told
    assert main(["show", "focalcodec"]) == 0
    assert "NAME+fp16, NAME+int8" in capsys.readouterr().out
