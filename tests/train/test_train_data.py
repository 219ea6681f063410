"""Training speech: batches are functions of (seed, number); bad data is named; augmentation does what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import audio
from bench.distortions import add_noise
from bench.errors import BenchError, DataMissing
from bench.speech import Utterance
from bench.train.data import Augmentation, Corpus, Crops, InputAugmentation, Prefetch, change_speed, held_out, tilt


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(6):
        path = tmp_path / f"u{i}.wav"
        audio.write(path, 0.1 * rng.standard_normal(4000 + 1000 * i), 16000)
        made.append(Utterance(f"u{i}", path, f"speaker{i % 4}"))
    return made


def test_batches_depend_on_seed_and_number_only(utterances: list[Utterance]) -> None:
    everything = Augmentation((-6, 6), (0.9, 1.1), 0.5, 6.0, 0.5, (10, 20), 0.5)
    crops = Crops(Corpus(utterances), 3, 1600, seed=5, augmentation=everything)
    again = Crops(Corpus(utterances), 3, 1600, seed=5, augmentation=everything)
    later = crops.draw(7)
    for number in (0, 7):
        np.testing.assert_array_equal(crops.draw(number).waves, again.draw(number).waves)
    assert later.waves.shape == (3, 1600) and later.waves.dtype == np.float32 and later.number == 7
    assert not np.array_equal(crops.draw(0).waves, later.waves)
    assert not np.array_equal(Crops(Corpus(utterances), 3, 1600, seed=6).draw(0).waves, again.draw(0).waves)


def test_prefetch_hands_out_the_same_batches(utterances: list[Utterance]) -> None:
    crops = Crops(Corpus(utterances), 2, 800)
    ahead = Prefetch(crops.draw, 4)
    try:
        for number in (4, 5, 6):
            np.testing.assert_array_equal(ahead.next().waves, crops.draw(number).waves)
    finally:
        ahead.close()


def test_crops_are_stretches_of_the_utterance(utterances: list[Utterance]) -> None:
    corpus = Corpus(utterances)
    batch = Crops(corpus, 4, 1000).draw(0)
    for wave, where in zip(batch.waves, batch.where, strict=True):
        whole = corpus.wave(where)
        starts = np.flatnonzero(np.isclose(whole[: len(whole) - 999], wave[0], atol=1e-7))
        assert any(np.allclose(whole[s : s + 1000], wave, atol=1e-6) for s in starts)


def test_short_utterances_are_zero_padded(utterances: list[Utterance]) -> None:
    batch = Crops(Corpus(utterances[:1]), 1, 6000).draw(0)
    assert np.any(batch.waves[0, :4000]) and not np.any(batch.waves[0, 4000:])


def test_weights_choose_the_source(utterances: list[Utterance]) -> None:
    crops = Crops(Corpus(utterances), 16, 800, weights=[0, 0, 0, 1, 0, 0])
    assert set(crops.draw(0).where) == {3}


def test_empty_data_is_named() -> None:
    with pytest.raises(DataMissing, match=r"data\.sources"):
        Corpus([])


def test_another_rate_is_named_or_converted(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    audio.write(path, np.zeros(4410), 44100)
    speech = [Utterance("wide", path, "a")]
    with pytest.raises(BenchError, match=r"wide\.wav: 44100 Hz.*data\.resample = true"):
        Corpus(speech)
    assert len(Corpus(speech, resample=True).waves[0]) == 1600


def test_hash_of_the_list_sees_added_speech(utterances: list[Utterance]) -> None:
    assert Corpus(utterances).sha256 == Corpus(list(utterances)).sha256 != Corpus(utterances[1:]).sha256


def test_held_out_voices_are_not_trained_on(utterances: list[Utterance]) -> None:
    kept, held = held_out(utterances, 2)
    assert len(kept) + len(held) == len(utterances)
    assert len({u.speaker for u in held}) == 2
    assert not {u.speaker for u in kept} & {u.speaker for u in held}
    assert held_out(list(reversed(utterances)), 2)[1] == list(reversed(held))
    with pytest.raises(BenchError, match="only 4 speakers"):
        held_out(utterances, 4)


def test_speed_changes_length_and_pitch() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(16000) / 16000).astype(np.float32)
    fast = change_speed(tone, 1.25)
    assert abs(len(fast) - 12800) <= 2
    spectrum = np.abs(np.fft.rfft(fast[:8000]))
    assert np.argmax(spectrum) * 16000 / 8000 == pytest.approx(250, abs=2)


def test_tilt_and_noise_have_their_size() -> None:
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(32000).astype(np.float32)
    tilted = np.abs(np.fft.rfft(tilt(wave, -12.0))) / np.abs(np.fft.rfft(wave))
    assert 20 * np.log10(tilted[-2]) == pytest.approx(-12.0, abs=0.1)
    noisy = add_noise(wave, 20.0, rng)
    ratio = 10 * np.log10(np.mean(wave**2) / np.mean((noisy - wave) ** 2))
    assert ratio == pytest.approx(20.0, abs=0.01)


def test_gain_never_clips(utterances: list[Utterance]) -> None:
    loud = Crops(Corpus(utterances), 8, 1600, augmentation=Augmentation(gain_db=(40.0, 40.0))).draw(0)
    assert np.abs(loud.waves).max() <= 0.99 + 1e-6


def test_the_encoder_hears_a_room_and_the_target_stays_clean(utterances: list[Utterance]) -> None:
    corpus = Corpus(utterances)
    clean = Crops(corpus, 3, 3200, seed=5)
    heavy = Augmentation(input=InputAugmentation(room_chance=1.0, noise_chance=1.0, band_chance=1.0, tilt_chance=1.0))
    heard = Crops(corpus, 3, 3200, seed=5, augmentation=heavy)
    assert clean.draw(4).heard is None and not Augmentation().input.any
    for number in (4, 5):
        batch, again = heard.draw(number), heard.draw(number)
        np.testing.assert_array_equal(batch.waves, clean.draw(number).waves)
        np.testing.assert_array_equal(batch.heard, again.heard)
        assert batch.heard is not None and batch.heard.shape == (3, 3200) and batch.heard.dtype == np.float32
        assert np.abs(batch.heard).max() < 1 and all(not np.allclose(h, w) for h, w in zip(batch.heard, batch.waves, strict=True))


def test_noise_at_the_input_has_the_level_that_was_asked_for(utterances: list[Utterance]) -> None:
    noisy = Augmentation(input=InputAugmentation(noise_db=(10.0, 10.0), noise_chance=1.0))
    crops = Crops(Corpus(utterances), 3, 3200, seed=1, augmentation=noisy)
    for number in range(6):  # both kinds: others of the batch, and coloured noise
        batch = crops.draw(number)
        assert batch.heard is not None
        for wave, heard in zip(batch.waves, batch.heard, strict=True):
            assert 10 * np.log10(np.mean(wave**2) / np.mean((heard - wave) ** 2)) == pytest.approx(10.0, abs=0.05)
