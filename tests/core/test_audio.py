"""Reading: ordinary files give their very samples; what lies beyond full scale is scaled; bad files are one clear error."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench import audio
from bench.errors import BadAudio

RATE = 16000


@pytest.fixture
def wave() -> np.ndarray:
    t = np.arange(RATE) / RATE
    return (0.9 * np.sin(2 * np.pi * 220 * t) * np.sin(np.pi * t)).astype(np.float32)


def test_ordinary_files_are_read_sample_by_sample(tmp_path: Path, wave: np.ndarray) -> None:
    stereo = np.stack([wave, wave[::-1]], axis=1)
    for name, samples, subtype in (("a", wave, "PCM_16"), ("b", wave, "FLOAT"), ("c", stereo, "PCM_16"), ("d", stereo, "FLOAT")):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, RATE, subtype=subtype)
        plain = soundfile.read(path, dtype="float32", always_2d=True)[0]
        expected = plain[:, 0] if plain.shape[1] == 1 else plain.mean(axis=1)
        got, rate = audio.read(path)
        np.testing.assert_array_equal(got, expected)
        assert rate == RATE and got.dtype == np.float32


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_channel_is_taken(tmp_path: Path, wave: np.ndarray, channel: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([wave, -wave, 0.5 * wave], axis=1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", wave, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav", channel)[0], wave * np.float32([1, -1, 0.5][channel]))
    np.testing.assert_array_equal(audio.read(tmp_path / "mono.wav", channel)[0], wave)
    with pytest.raises(BadAudio, match="has 3 channels, no channel 4"):
        audio.read(tmp_path / "a.wav", 3)


@pytest.mark.parametrize("gain", [1.01, 2.0, 7.9])
def test_floats_beyond_full_scale_are_divided_by_their_peak(tmp_path: Path, wave: np.ndarray, gain: float) -> None:
    loud = wave / np.abs(wave).max() * np.float32(gain)
    soundfile.write(tmp_path / "a.wav", loud, RATE, subtype="FLOAT")
    found = audio.load(tmp_path / "a.wav")
    assert found.peak == pytest.approx(gain) and np.abs(found.wave).max() == 1.0
    np.testing.assert_allclose(found.wave * found.peak, loud, rtol=1e-6)
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav", scale=False).wave, loud)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_floats_in_the_range_of_integers_equal_the_integers(tmp_path: Path, wave: np.ndarray, bits: int) -> None:
    whole = np.round(wave * 2 ** (bits - 1))
    soundfile.write(tmp_path / "a.wav", whole, RATE, subtype="DOUBLE")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], whole / 2 ** (bits - 1), atol=1e-7)
    assert audio.header(tmp_path / "a.wav")[:2] == (1, False)


@pytest.mark.parametrize("peak", [0.0, 0.5, 1.0])
def test_full_scale_and_below_stay(peak: float) -> None:
    assert audio.full_scale(peak) == 1.0


def test_names_need_not_be_utf8(tmp_path: Path, wave: np.ndarray) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    soundfile.write(os.fsencode(path), wave, RATE)
    assert len(audio.read(path)[0]) == RATE and audio.header(path) == (1, True, RATE, 1.0)
    assert audio.shown(path).endswith("caf\\xe9.wav")
    path.write_bytes(b"no audio")
    with pytest.raises(BadAudio, match=r"xe9\.wav: cannot be read") as caught:
        audio.read(path)
    str(caught.value).encode("utf-8")


KINDS = ("text", "empty", "half a header", "missing", "folder", "broken link", "no samples", "NaN", "long name")


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_are_one_clear_error(tmp_path: Path, wave: np.ndarray, kind: str) -> None:
    path = tmp_path / "bad.wav"
    if kind == "text":
        path.write_text("not audio")
    elif kind == "empty":
        path.touch()
    elif kind == "half a header":
        soundfile.write(path, wave, RATE)
        path.write_bytes(path.read_bytes()[:20])
    elif kind == "folder":
        path.mkdir()
    elif kind == "broken link":
        path.symlink_to(tmp_path / "nowhere.wav")
    elif kind == "no samples":
        soundfile.write(path, wave[:0], RATE)
    elif kind == "NaN":
        soundfile.write(path, np.where(np.arange(RATE) == 7, np.nan, wave), RATE, subtype="FLOAT")
    elif kind == "long name":
        path = tmp_path / ("x" * 5000 + ".wav")
    with pytest.raises(BadAudio, match=r"\.wav: "):
        audio.read(path)
    assert audio.header(path).seconds == (1.0 if kind == "NaN" else 0.0), "no header raises"


def test_an_offset_is_found_and_taken_off_and_speech_is_left_alone(wave: np.ndarray) -> None:
    assert audio.offset(wave, RATE) == 0.0 and audio.without_offset(wave, RATE) is wave
    for constant in (0.5, -0.1):
        moved = wave + np.float32(constant)
        assert audio.offset(moved, RATE) == pytest.approx(constant + wave.mean(), abs=1e-4)
        np.testing.assert_allclose(audio.without_offset(moved, RATE), wave - wave.mean(), atol=1e-6)
    assert audio.offset(np.full(RATE, 0.25, np.float32), RATE) == 0.25
    assert audio.offset(np.zeros(RATE, np.float32), RATE) == 0.0
    assert audio.offset(wave[:100] + 0.5, RATE) == 0.0, "the mean of a few periods is no offset"
