"""Error rates: golden counts, and Moonshine as the package runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from bench.metrics import MetricFailure, Ratio, Signal, find
from bench.metrics._text import BASIC, char_errors, normalise, word_errors
from bench.metrics.networks import moonshine

CLIPS = (
    "ls84_04",
    "ls84_04__noise5",
    "ls84_04__melgl",
    "ls84_09",
    "ls84_09__noise5",
    "ls84_09__lp3k4",
    "ls84_09__mulaw6",
    "ls84_09_short0p2s",
    "silence2s",
    "noise2s",
)


def test_golden_counts(golden):
    wanted = golden("wer")
    pairs = list(zip(wanted["ref_norm"], wanted["hyp_norm"], strict=True))
    for count, key in ((word_errors, "sb_wer_split_space"), (char_errors, "sb_cer")):
        ratios = [count(*pair) for pair in pairs]
        edits, total = sum(r.num for r in ratios), sum(r.den for r in ratios)
        assert (edits, total) == (wanted[key]["num_edits"], wanted[key]["num_scored_tokens"])
        assert 100 * edits / total == pytest.approx(wanted[key]["error_rate"], abs=1e-12)
    filled = [word_errors(*pair) for pair in pairs if pair[0]]
    assert sum(r.num for r in filled) / sum(r.den for r in filled) == pytest.approx(wanted["jiwer_corpus_wer_nonempty"])
    assert np.mean([r.num / r.den for r in filled]) == pytest.approx(wanted["jiwer_mean_wer_nonempty"])


def test_normaliser():
    assert normalise("Mr. Quilter's colour, isn't it?") == "mister quilter is color is not it"
    assert normalise("  A  b ") == "a b"
    assert normalise("Größe, ça va?", BASIC) == "größe ça va"
    with pytest.raises(ValueError, match="basic"):
        normalise("a", "latin")


def test_empty_texts():
    assert word_errors("", "a b") == Ratio(2.0, 0)
    assert word_errors("a b", "") == Ratio(2.0, 2)
    assert word_errors("", "") == Ratio(0.0, 0)


def test_moonshine_equals_its_package(reference, clip):
    paths = [str(reference / "metrics" / "wav" / f"{name}.wav") for name in CLIPS]
    script = (
        "import sys, json, pathlib, moonshine_cpp as m\n"
        "model = m.MoonshineModel(model_dir_path=str(pathlib.Path(m.__file__).parent / 'models' / 'base-en'))\n"
        "print(json.dumps([model.transcribe_wav(p) for p in sys.argv[1:]]))"
    )
    found = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True).stdout
    assert moonshine.transcribe([clip(name) for name in CLIPS]) == json.loads(found.splitlines()[-1])


def test_batch_equals_single_and_order_is_kept(clip):
    waves = [clip(name) for name in ("ls84_04", "ls84_09", "silence2s", "ls84_09__noise5")]
    together = moonshine.transcribe(waves)
    assert together == [moonshine.transcribe([wave])[0] for wave in waves]
    assert together[1].startswith("Do you know") and together[2] == ""


def test_one_sample_and_none():
    assert moonshine.transcribe([np.zeros(1, np.float32)]) == [""]
    assert moonshine.transcribe([]) == []


def test_scores(clip):
    metric = find("dwer")
    ref = Signal(clip("ls84_09"), 16_000, text="DO YOU KNOW THE ASSASSIN ASKED MORREL")
    same = metric.score(ref, ref)
    assert same["dwer"] == Ratio(0.0, 6) and same["dcer"].num == 0.0
    assert same["wer"].den == 7 and same["wer"].num > 0
    silent = metric.score(ref, Signal(np.zeros(32_000, np.float32), 16_000, text=ref.text))
    assert silent["dwer"] == Ratio(6.0, 6)  # a silent output loses every word: that is no failure
    [cached] = metric.analyse([ref])
    again = metric.score(Signal(ref.wave, 16_000, ref.text, analysis=cached), ref)
    assert again["wer"] == same["wer"]


def test_failures_are_typed(voice):
    metric = find("wer")
    german = Signal(voice, 16_000, text="Hallo", language="de")
    assert {v.kind for v in metric.score(german, german).values()} == {"language"}
    broken = Signal(np.full(16_000, np.nan, np.float32), 16_000, text="a")
    assert metric.score(Signal(voice, 16_000, text="a"), broken)["wer"].kind == "not_finite"
    unknown = metric.score(Signal(voice, 16_000), Signal(voice, 16_000))
    assert isinstance(unknown["wer"], MetricFailure) and unknown["wer"].kind == "no_text"
    assert isinstance(unknown["dwer"], Ratio)
