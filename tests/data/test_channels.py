"""Files with several channels: averaged and told, the first, or each as an utterance of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench import data
from bench.data import channels
from bench.errors import BenchError, UnknownName
from bench.speech import Dataset
from bench.tasks import options

RATE = 16000


@pytest.fixture
def call(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, count in (("call", 2), ("mono", 1), ("surround", 3)):
        soundfile.write(tmp_path / f"{name}.wav", rng.normal(0, 0.1, (RATE, count)), RATE)
    (tmp_path / "transcripts.tsv").write_text("id\ttext\ncall\thello\nmono\tone\n")
    return tmp_path


def waves(dataset: Dataset) -> dict[str, np.ndarray]:
    return {u.id: u.read()[0] for u in dataset}


def test_the_average_is_the_default_and_told(call: Path) -> None:
    dataset = data.load(f"folder:{call}")
    stereo = soundfile.read(call / "call.wav", dtype="float32")[0]
    np.testing.assert_array_equal(waves(dataset)["call"], stereo.mean(axis=1))
    assert channels.note(dataset) == "2 files have 2 or 3 channels: they are averaged (CHANNELS=first or each chooses otherwise)"


def test_the_first(call: Path) -> None:
    dataset = data.load(f"folder:{call}", channels="first")
    found = waves(dataset)
    assert set(found) == {"call", "mono", "surround"}
    np.testing.assert_array_equal(found["call"], soundfile.read(call / "call.wav", dtype="float32")[0][:, 0])
    assert "the first is taken" in str(channels.note(dataset))


def test_each(call: Path) -> None:
    dataset = data.load(f"folder:{call}", channels="each")
    found = waves(dataset)
    assert list(found) == ["call.ch1", "call.ch2", "mono", "surround.ch1", "surround.ch2", "surround.ch3"]
    for number in range(2):
        expected = soundfile.read(call / "call.wav", dtype="float32")[0][:, number]
        np.testing.assert_array_equal(found[f"call.ch{number + 1}"], expected)
    texts = {u.id: u.text for u in dataset}
    assert texts["mono"] == "one" and texts["call.ch1"] is None, "a text of the whole file is that of no channel"
    assert {u.id: u.extra.get("output") for u in dataset}["call.ch2"] == "call"


def test_each_choice_is_a_table_of_its_own(call: Path) -> None:
    sets = [data.load(f"folder:{call}", channels=choice) for choice in channels.CHOICES]
    assert len({dataset.name for dataset in sets}) == len({dataset.sha256 for dataset in sets}) == 3


def test_a_reference_of_several_channels_is_read_alike(call: Path) -> None:
    [utterance] = [u for u in data.load(f"folder:{call}", channels="each") if u.id == "call.ch2"]
    np.testing.assert_array_equal(utterance.read_reference()[0], utterance.read()[0])


def test_mono_sets_are_left_alone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    plain = data.load(f"folder:{tmp_path}")
    for choice in channels.CHOICES:
        dataset = data.load(f"folder:{tmp_path}", channels=choice)
        assert dataset == plain and dataset.sha256 == plain.sha256 and channels.note(dataset) is None


def test_a_wrong_choice_is_named(call: Path) -> None:
    with pytest.raises(UnknownName, match="average"):
        data.load(f"folder:{call}", channels="averge")
    with pytest.raises(BenchError, match="no flag of the task vc"):
        options.parse("vc", ["--channels", "each"])
