"""The speech that ships: what its manifest and README promise, checked on the files themselves."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from bench import audio, data
from bench.data import embedded
from bench.errors import UnknownName
from bench.speech import Dataset


@pytest.fixture(scope="module")
def speech() -> Dataset:
    return data.load("embedded")


@pytest.fixture(scope="module")
def words() -> Dataset:
    return data.load("embedded#words")


def test_enough_voices_and_sentences(speech: Dataset) -> None:
    assert len(speech.speakers) >= 24
    assert set(Counter(u.speaker for u in speech).values()) == {5}
    assert {u.gender for u in speech} == {"female", "male"}
    assert {u.accent for u in speech} == {"American", "British"}
    assert speech.synthetic
    assert all(u.extra["synthetic"] for u in speech)
    assert speech.licence == "Apache-2.0"


def test_parallel_sentences_are_said_by_every_voice_and_no_other_is_said_twice(speech: Dataset) -> None:
    texts = Counter(u.text for u in speech)
    parallel = {u.text for u in speech if u.extra["parallel"]}
    assert len(parallel) == 2
    assert all(times == (len(speech.speakers) if text in parallel else 1) for text, times in texts.items())
    assert all(7 <= len(str(u.text).split()) <= 11 for u in speech)


def test_files_are_the_ones_of_the_manifests_and_no_more(speech: Dataset, words: Dataset) -> None:
    for u in [*speech, *words]:
        assert hashlib.sha256(u.path.read_bytes()).hexdigest() == u.extra["sha256"], u.id
    assert sorted(embedded.FOLDER.rglob("*.flac")) == sorted(u.path for u in [*speech, *words])
    assert sum(u.path.stat().st_size for u in speech) <= 12 * 2**20
    assert sum(u.path.stat().st_size for u in words) <= 10_000_000


def test_every_voice_says_every_word_once(words: Dataset) -> None:
    said = Counter((u.speaker, u.text) for u in words)
    assert set(said.values()) == {1} and len(said) == len(words.speakers) * len({u.text for u in words})
    assert len({u.text for u in words}) == 10
    assert words.synthetic and words.name == "embedded#words"
    for voice in (u.speaker.split("-") for u in words):
        assert len({name[0] for name in voice}) == 1, "mixed within an accent"


def test_words_are_16_khz_and_neither_clipped_nor_silent(words: Dataset) -> None:
    for u in words:
        wave, rate = u.read()
        assert rate == 16000 and len(wave) == u.extra["samples"] and 0.25 < len(wave) / rate < 1.6, u.id
        assert 0.1 < float(np.abs(wave).max()) <= 0.901 and audio.level_dbfs(wave) > -36, u.id


def test_words_are_chosen_as_sentences_are(words: Dataset) -> None:
    british = data.load("embedded#words+british+female")
    assert {(u.accent, u.gender) for u in british} == {("British", "female")} and {u.id for u in british} < {u.id for u in words}


def test_audio_is_16_khz_and_neither_clipped_nor_silent(speech: Dataset) -> None:
    total = 0.0
    for u in speech:
        wave, rate = u.read()
        assert rate == 16000
        assert len(wave) == u.extra["samples"]
        assert 0.2 < float(np.abs(wave).max()) <= 0.901, u.id
        assert audio.level_dbfs(wave) > -32, u.id
        edges = np.concatenate([wave[:1600], wave[-1600:]])
        assert audio.level_dbfs(edges) < audio.level_dbfs(wave) - 12, u.id
        total += len(wave) / rate
    assert total <= 8 * 60


def test_subsets_of_one_kind_add_up_and_of_two_kinds_narrow_down(speech: Dataset) -> None:
    assert len(data.load("embedded#af_sky+bm_lewis")) == 10
    assert len(data.load("embedded#female")) + len(data.load("embedded#male")) == len(speech)
    both = data.load("embedded#parallel+british+male")
    assert {(u.accent, u.gender, u.extra["parallel"]) for u in both} == {("British", "male", True)}
    with pytest.raises(UnknownName, match="british"):
        data.load("embedded#britsh")


def test_a_limited_selection_hears_every_voice_and_says_that_it_is_partial(speech: Dataset) -> None:
    part = speech.limit(28)
    assert len(part) == 28
    assert part.speakers == speech.speakers
    assert part.partial
    assert not speech.partial
    assert [u.id for u in part] == [u.id for u in speech.limit(28)]
    assert part.sha256 != speech.sha256
    assert speech.limit(140) is speech
