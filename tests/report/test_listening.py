"""The listening page: equal levels, shared axes, names that tell nothing, text that stays text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench import audio
from bench.metrics import Column
from bench.report import listening
from bench.report.listening import Clip, Item, Wave, levelled, spectrogram, write

COLUMNS = {"stoi": Column("stoi", "STOI", "", "higher", 0.0, 1.0, decimals=3)}


def noise(seed: int, rms: float, samples: int = 16000) -> Wave:
    return np.random.default_rng(seed).normal(0, rms, samples).astype(np.float32)


@pytest.mark.parametrize("loud", [0.1, 0.9])
def test_clips_of_one_utterance_are_equally_loud_and_none_clips(loud: float) -> None:
    waves = [noise(0, loud), noise(1, 0.01), noise(2, 0.3)]
    raised, gains = levelled(waves)
    levels = [audio.level_dbfs(wave) for wave in raised]
    assert levels == pytest.approx([levels[0]] * 3, abs=1e-3)
    assert max(float(np.abs(wave).max()) for wave in raised) <= 1.0
    assert gains == pytest.approx([audio.level_dbfs(waves[0]) - audio.level_dbfs(wave) for wave in waves])


def test_silence_is_not_raised() -> None:
    raised, gains = levelled([noise(0, 0.1), np.zeros(100, np.float32)])
    assert gains == [0.0, 0.0] and not raised[1].any()


@pytest.mark.parametrize("hz", [500, 3000, 7000])
def test_a_tone_stands_at_its_height(hz: int) -> None:
    tone = np.sin(2 * np.pi * hz * np.arange(16000) / 16000).astype(np.float32)
    picture = spectrogram(tone)
    assert picture.shape == (listening.TALL, listening.WIDE) and picture.max() == 255
    rows = np.argmax(picture, axis=0)
    assert np.all(np.abs((listening.TALL - 1 - rows) - hz / 8000 * listening.TALL) <= 1)


def test_a_short_clip_has_a_picture() -> None:
    assert spectrogram(noise(0, 0.1, 10)).shape == (listening.TALL, listening.WIDE)


def test_the_page_plays_what_it_was_given(tmp_path: Path) -> None:
    original, decoded = noise(0, 0.1), noise(1, 0.02, 8000)
    item = Item("u <1>", "s & t", "Said <b>so</b>.", (
        Clip("original", original, 16000), Clip("opus@6", decoded, 8000, {"stoi": 0.81234}),
        Clip("codec2@700", None, 8000, {}, "codec_error: no <luck>"),
    ))  # fmt: skip
    page = write(tmp_path, "a & b", ["one fact"], [item], COLUMNS)
    text = page.read_text(encoding="utf-8")
    assert "u &lt;1&gt;" in text and "<b>so" not in text and "no &lt;luck&gt;" in text and "a &amp; b" in text
    assert "0.812" in text and "+14.0 dB" in text
    assert "http" not in text, "the page needs nothing from outside"
    sounds = re.findall(r'src="(media/[^"]+\.flac)"', text)
    assert len(sounds) == 2 and not any("opus" in name or "original" in name for name in sounds)
    heard, rate = soundfile.read(tmp_path / sounds[1], dtype="float32")
    assert rate == 8000 and audio.level_dbfs(heard) == pytest.approx(audio.level_dbfs(original), abs=0.01)
    pictures = re.findall(r'src="(media/[^"]+\.png)"', text)
    assert len(pictures) == 2 and all((tmp_path / name).is_file() for name in pictures)
    assert text.count('title="0 to 8 kHz"') == 2, "pictures of one utterance share the axis"


def test_a_new_page_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path, "t", [], [Item("u", "s", "", (Clip("original", noise(seed, 0.1), 16000),))], COLUMNS)
    assert len(list((tmp_path / "media").iterdir())) == 2
