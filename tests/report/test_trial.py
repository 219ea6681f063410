"""Listening tests: the anchor's band, equal levels, files that are answers, and webMUSHRA's configuration."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import audio
from bench.errors import BenchError
from bench.report import trial
from bench.report.listening import Clip, Item

RATE = 16000


def tone(hz: float, level: float = 0.1) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.fixture
def item() -> Item:
    speech = tone(300) + tone(5000, 0.02)
    return Item(
        "u1", "s1", "a text", (Clip("original", speech, RATE), Clip("a@1", 3 * speech, RATE), Clip("b@1", speech / 4, RATE))
    )


@pytest.mark.parametrize(("hz", "low", "high"), [(1000, -0.1, 0.1), (3000, -0.5, 0.1), (4000, -200, -40), (6000, -200, -40)])
def test_the_anchor_ends_at_three_and_a_half_kilohertz(hz: int, low: float, high: float) -> None:
    middle = slice(RATE // 4, -RATE // 4)
    gain = 10 * np.log10(np.mean(trial.anchor(tone(hz), RATE)[middle] ** 2) / np.mean(tone(hz)[middle] ** 2))
    assert low < gain < high
    with pytest.raises(BenchError, match="anchor"):
        trial.anchor(tone(hz), 8000)


def test_every_sound_of_a_trial_has_one_level(item: Item) -> None:
    made = trial.stimuli(item)
    assert [clip.system for clip in made] == ["original", "anchor", "a@1", "b@1"]
    levels = [audio.level_dbfs(clip.wave) for clip in made if clip.wave is not None]
    assert np.ptp(levels) < 0.05


def test_a_system_without_audio_is_refused_by_name(item: Item) -> None:
    lost = Item("u1", "s1", "", (*item.clips, Clip("c@1", None, RATE, failure="timeout")))
    with pytest.raises(BenchError, match=r"u1: no audio of c@1"):
        trial.stimuli(lost)


@pytest.mark.parametrize(("kind", "trials"), [("mushra", 1), ("abx", 2), ("ab", 1)])
def test_a_page_holds_its_trials(item: Item, kind: str, trials: int, tmp_path: Path) -> None:
    page = trial.write(tmp_path, kind, "t</script>", [item], {"a@1": {}}).read_text(encoding="utf-8")
    data = json.loads(page.partition('id="test">')[2].partition("</script>")[0])
    assert len(data["trials"]) == trials and data["kind"] == kind and data["title"] == "t</script>"
    assert "http://" not in page and "https://" not in page


def test_webmushra_gets_references_and_one_stimulus_for_each_system(item: Item, tmp_path: Path) -> None:
    import yaml

    config = yaml.safe_load(trial.write(tmp_path, "webmushra", "t", [item], {}).read_text(encoding="utf-8"))
    page = next(page for page in config["pages"] if page["type"] == "mushra")
    assert set(page["stimuli"]) == {"a@1", "b@1"} and page["createAnchor35"] is True
    assert all((tmp_path / name).is_file() for name in [page["reference"], *page["stimuli"].values()])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}'])
def test_a_file_that_holds_no_answers_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"x\.json"):
        trial.answers(path)
