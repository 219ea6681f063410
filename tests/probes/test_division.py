"""Divisions: disjoint, whole, and honest about data that do not fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench import data
from bench.errors import BenchError
from bench.probes.division import check_labels, divide
from bench.speech import Dataset, Utterance


def make(speakers: int = 3, each: int = 12, **known: str | None) -> Dataset:
    return Dataset("toy", tuple(
        Utterance(f"s{s}_{n:02d}", Path("x.wav"), f"s{s}", emotion=("sad", "glad")[n % 2], **known)  # type: ignore[arg-type]
        for s in range(speakers) for n in range(each)
    ))  # fmt: skip


def test_tenths_of_every_speaker() -> None:
    [division] = divide("si", make(each=20), "speakers")
    assert not set(division.train) & set(division.test) and not set(division.valid) & set(division.test)
    assert division.ids == {u.id for u in make(each=20)}
    for part, count in (("test", 2), ("valid", 2), ("train", 16)):
        assert set(Counter(name[:2] for name in getattr(division, part)).values()) == {count}
    assert division.classes == ("s0", "s1", "s2")
    assert divide("si", make(each=20), "speakers") == [division]


def test_embedded_lists_divide_the_embedded_set() -> None:
    [si] = divide("si", data.load("embedded"), "embedded_si")
    assert len(si.classes) == 28 and len(si.ids) == 140
    words = data.load("embedded#words")
    [asr] = divide("asr", words, "embedded_words")
    assert asr.ids == {u.id for u in words} and set(asr.targets.values()) == {u.text for u in words}


def test_cap_thins_training_and_never_the_test() -> None:
    whole, thin = (divide("ser", make(each=40), "speakers", cap=cap)[0] for cap in (None, 3))
    assert thin.test == whole.test and set(thin.train) < set(whole.train)
    counts = Counter((name[:2], thin.targets[name]) for name in thin.train)
    assert set(counts.values()) == {3}


@pytest.mark.parametrize(
    ("task", "dataset", "options", "told"),
    [
        ("si", make(each=9), {}, r"s0 has 9 utterances; 10 are needed"),
        ("asr", make(), {}, r"36 utterances have no transcript, for example s0_"),
        ("ser", make(), {"labels": ("sad", "angry")}, r"labelled angry; its labels are glad, sad"),
        ("si", make(speakers=1), {}, r"fewer than 2 classes"),
        ("si", make(), {"folds": ("1",), "split": "embedded_si"}, r"no folds"),
        ("si", make(), {"split": "embedded_si"}, r"embedded_si.*is this the data set"),
        ("asr", make(text="a"), {"split": "subsets"}, r"no utterance for its train part"),
    ],
)
def test_what_does_not_fit_is_told(task: str, dataset: Dataset, options: dict, told: str) -> None:
    with pytest.raises(BenchError, match=told):
        divide(task, dataset, options.pop("split", "speakers"), **options)


def test_voices_are_in_one_part_each() -> None:
    [division] = divide("ser", make(speakers=20, each=4), "voices")
    heard = [{name.partition("_")[0] for name in getattr(division, part)} for part in ("train", "valid", "test")]
    assert list(map(len, heard)) == [16, 2, 2] and len(set().union(*heard)) == 20
    assert division.ids == {u.id for u in make(speakers=20, each=4)}
    assert divide("ser", make(speakers=2), "voices")[0].test == divide("ser", make(speakers=2), "speakers")[0].test


def test_labels_that_are_missing_are_told_with_the_file_that_would_tell_them() -> None:
    mine = replace(make(text="yes"), name="folder-mine", root=Path("/mine"))
    for task in ("si", "ser", "asr"):
        check_labels(task, mine)
    with pytest.raises(BenchError, match=r"^folder-mine: 36 of 36 utterances have no transcript, for example s0_00; write the "
                       r"transcript of each into the column `text` of /mine/transcripts\.tsv$"):  # fmt: skip
        check_labels("asr", replace(mine, utterances=make().utterances))
    unknown = tuple(replace(u, speaker="unknown", emotion="sad") for u in mine)
    with pytest.raises(BenchError, match=r"have no speaker.* the column `speaker` of /mine/transcripts\.tsv$"):
        check_labels("si", replace(mine, utterances=unknown))
    with pytest.raises(BenchError, match=r"all utterances have the emotion 'sad'.* `emotion` of /mine/transcripts\.tsv$"):
        check_labels("ser", replace(mine, utterances=unknown))
    with pytest.raises(BenchError, match=r"^toy: 36 of 36 .*; TASK=asr needs a set that tells the transcript of each$"):
        check_labels("asr", make())
    with pytest.raises(BenchError, match=r"speech in de; the probe of words knows the letters of English alone"):
        check_labels("asr", replace(mine, utterances=tuple(replace(u, language="de") for u in mine)))


def test_labels_leave_out_the_others() -> None:
    [division] = divide("ser", make(each=40), "speakers", labels=("glad", "sad"))
    assert division.classes == ("glad", "sad")
    with pytest.raises(BenchError, match="fewer than 2 classes"):
        divide("ser", make(each=40), "speakers", labels=("sad",))
