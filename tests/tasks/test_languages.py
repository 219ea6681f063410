"""Resynthesis of several languages: results by language, the paper's numbers on the same corpus, recognisers that know them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import audio, metrics
from bench.errors import BenchError
from bench.results import publish
from bench.speech import Dataset, Utterance
from bench.tasks import resynthesis
from bench.tasks.options import Options


def speech(*languages: str) -> Dataset:
    return Dataset("toy", tuple(Utterance(f"u{n}", None, f"s{n}", language=name) for n, name in enumerate(languages)))


def test_recognisers_know_their_languages() -> None:
    moonshine, whisper = metrics.find("dwer"), metrics.find("dwer_whisper_small")
    assert [moonshine.knows(name) for name in ("en", "en-GB", "de", "zh")] == [True, True, False, False]
    assert [whisper.knows(name) for name in ("en", "de", "nl", "pl", "nb", "tlh")] == [True, True, True, True, True, False]
    assert metrics.find("stoi").knows("tlh")


def test_columns_of_unknown_languages_are_left_out_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ("stoi", "dwer", "dcer")
    assert resynthesis.understood(columns, speech("en", "en-GB"), asked=False) == columns
    assert capsys.readouterr().out == ""
    assert resynthesis.understood(columns, speech("en", "fr", "de"), asked=False) == ("stoi",)
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and "dwer, dcer: not for speech in de, fr" in told and "METRICS=dwer_whisper_small" in told
    assert resynthesis.understood(columns, speech("en", "fr"), asked=True) == columns, "asked for, and there is English"
    with pytest.raises(BenchError, match=r"toy: dwer: not for speech in de, fr; METRICS=dwer_whisper_small") as caught:
        resynthesis.understood(("dwer",), speech("de", "fr"), asked=True)
    assert "\n" not in str(caught.value)


def test_the_cure_is_no_column_that_does_not_know_the_language_either() -> None:
    for columns in (("dwer",), ("dwer_whisper_small",)):
        with pytest.raises(BenchError, match=rf"toy: {columns[0]}: not for speech in tlh; columns that read no words") as caught:
            resynthesis.understood(columns, speech("tlh"), asked=True)
        assert "METRICS=dwer" not in str(caught.value)


@pytest.mark.parametrize("layout", ["mls", "fleurs"])
def test_results_by_language(tmp_path: Path, layout: str) -> None:
    """Speech of two languages in the corpora's own layouts; one of them has a louder noise that the codec cannot follow."""
    rng = np.random.default_rng(0)
    for language, code, level in (("dutch", "nl_nl", 0.0), ("polish", "pl_pl", 0.2)):
        for n in range(6):
            t = np.arange(16000) / 16000
            voice = 0.1 * np.sin(2 * np.pi * (200 + 20 * n) * t) * (1 + np.sin(2 * np.pi * 4 * t))
            wave = (voice + level * rng.normal(0, 0.5, t.size)).astype(np.float32)
            name = f"mls_{language}/test/audio/{n}/1/{n}_1_000001.flac" if layout == "mls" else f"{code}/{code}-{n}.wav"
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            audio.write(tmp_path / name, wave, 16000)
            if layout == "fleurs":
                (tmp_path / name).with_suffix(".txt").write_text("tekst")
    wanted = Options(
        "resynthesis", ("codec2@1200", "mulaw"), (f"{layout}:{tmp_path}",), metrics=("stoi",),
        workers=1, store=tmp_path / "s.sqlite", results=tmp_path / "results", quiet=True, device="cpu", executor="inline",
    )  # fmt: skip
    [folder] = resynthesis.run(wanted).folders
    page = (folder / "leaderboard.md").read_text(encoding="utf-8")
    part = page.partition("### By language")[2]
    assert "nl (n 6) | pl (n 6) | worst |" in part
    [line, *_] = [line for line in part.splitlines() if line.startswith("| `codec2@1200`")]
    assert line.rstrip(" |").endswith(("pl", "pl*")) and "±" in line
    assert "±: half of the 95 % interval of the group" in part


def test_one_language_has_no_such_table() -> None:
    rows = pd.DataFrame({"language": ["en", "en"], "column": ["stoi", "stoi"]})
    assert publish.by_language(rows, {}) == ""


@pytest.mark.parametrize(
    ("dataset", "utmos", "sim"),
    [("mls#dutch", 2.96, None), ("minimls", 2.96, None), ("librispeech#test-clean", 4.05, 97.4), ("embedded", 4.05, 97.4)],
)
def test_the_paper_s_numbers_are_those_of_the_corpus(dataset: str, utmos: float, sim: float | None) -> None:
    """FocalCodec's Table 2: its left half is LibriSpeech, its right half MLS."""
    rows = pd.DataFrame({"task": ["resynthesis"], "condition": ["clean"], "dataset": [dataset], "codec": ["focalcodec@50"]})
    found = publish.reported(rows)
    assert found["focalcodec@50", "utmos"].value == utmos
    named = [value.value for (codec, column), value in found.items() if codec == "focalcodec@50" and column.startswith("sim")]
    assert named == ([] if sim is None else [sim])
