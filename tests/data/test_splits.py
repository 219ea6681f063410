"""Divisions for the probes: nothing heard in training is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import data
from bench.data import splits
from bench.errors import BenchError, UnknownName
from bench.speech import Dataset, Utterance


def texts(dataset: Dataset) -> set[str | None]:
    return {u.text for u in dataset}


def test_embedded_words_share_no_voice_between_parts_not_even_in_a_mixture() -> None:
    speech = data.load("embedded#words")
    parts = splits.load("embedded_words").parts(speech)
    assert sum(map(len, parts.values())) == len(speech)
    voices = {part: {voice for u in some for voice in u.speaker.split("-")} for part, some in parts.items()}
    for one, two in (("train", "test"), ("train", "valid"), ("valid", "test")):
        assert not voices[one] & voices[two]
    for some in parts.values():
        assert {u.gender for u in some} >= {"female", "male"}
        assert {u.accent for u in some} == {"American", "British"}
        assert texts(some) == texts(speech), "every word is learnt, chosen by and tested"


def test_embedded_si_has_every_voice_in_every_part_and_no_sentence_in_two() -> None:
    speech = data.load("embedded")
    parts = splits.load("embedded_si").parts(speech)
    assert sum(map(len, parts.values())) == len(speech)
    assert all(part.speakers == speech.speakers for part in parts.values())
    assert not texts(parts["train"]) & texts(parts["test"])
    assert not texts(parts["train"]) & texts(parts["valid"])
    assert len(texts(parts["test"])) == 1


def people(name: str) -> Dataset:
    listed = splits.load(name).places
    found = tuple(Utterance(f"u-{person}", Path("x.wav"), person) for person in listed)
    return Dataset("people", found)


@pytest.mark.parametrize("name", ["ravdess", "iemocap"])
def test_folds_test_everyone_once_and_never_on_themselves(name: str) -> None:
    split, everyone = splits.load(name), people(name)
    tested: list[str] = []
    for fold in split.folds:
        parts = split.parts(everyone, fold)
        speakers = [set(part.speakers) for part in parts.values()]
        assert sum(map(len, speakers)) == len(everyone.speakers) == len(set().union(*speakers))
        tested += parts["test"].speakers
    assert sorted(tested) == sorted(everyone.speakers)


def test_ravdess_folds_hold_both_genders_even_of_half_the_actors() -> None:
    split = splits.load("ravdess")
    for fold in split.folds:
        actors = sorted(int(name[-2:]) for name, place in split.places.items() if place == fold and int(name[-2:]) <= 12)
        assert len(actors) == 2
        assert {actor % 2 for actor in actors} == {0, 1}


def test_faults_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="embedded_si"):
        splits.load("embeded_si")
    with pytest.raises(UnknownName, match="fold"):
        splits.load("ravdess").parts(people("ravdess"), 9)
    with pytest.raises(BenchError, match="single division"):
        splits.load("embedded_si").parts(data.load("embedded"), 1)
    with pytest.raises(BenchError, match="is this the data set"):
        splits.load("embedded_words").parts(people("ravdess"))
    for path in splits.FOLDER.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "embedded_si.tsv").write_text("id\tpart\naf_sky_01\ttest\n")
    monkeypatch.setattr(splits, "FOLDER", tmp_path)
    with pytest.raises(BenchError, match="SHA256SUMS"):
        splits.load("embedded_si")


def test_every_list_is_read_and_hashed() -> None:
    assert set(splits.names()) >= {"embedded_words", "embedded_si", "fsdd_speakers", "ravdess"}
    for name in splits.names():
        assert len(splits.load(name).sha256) == 64
