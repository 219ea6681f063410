"""Training throughput of every nano stage, one thread: seconds of audio a step, in `audio_s`; and what batches cost."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import audio
from bench.cards import CODECS
from bench.speech import Utterance
from bench.train.command import RECIPES
from bench.train.data import Corpus, Crops
from bench.train.loop import Loop
from bench.train.settings import RecipeCard, parse
from bench.train.whisper import WhisperEncoder

STAGES = [
    ("focalcodec", "encoder"),
    ("focalcodec", "codes"),
    ("focalcodec", "synthesis"),
    ("freqcodec", "codes"),
    ("freqcodec", "synthesis"),
    ("freecodec", "codes"),
    ("freecodec", "synthesis"),
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    made = []
    for i in range(4):
        audio.write(folder / f"{i}.wav", 0.05 * rng.standard_normal(16000 * 8), 16000)
        made.append(Utterance(str(i), folder / f"{i}.wav", str(i)))
    return Corpus(made)


def nano(recipe: str, stage: str) -> RecipeCard:
    """The nano card of a stage, without the weights it would start from: they change no cost."""
    raw = tomllib.loads((CODECS / recipe / "recipe.nano.toml").read_text(encoding="utf-8"))
    gone: dict[str, Any] = {"loss.initial": "", "run.precision": "bf16"}
    return parse(raw, Path(f"{recipe}.toml"), stage, gone)


@pytest.fixture(autouse=True)
def random_whisper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whisper tiny.en's sizes with random weights: the same cost without its file."""
    monkeypatch.setattr(WhisperEncoder, "load", classmethod(lambda cls, path, blocks=4: cls(blocks=blocks)))


@pytest.mark.parametrize(("recipe", "stage"), STAGES, ids=["-".join(s) for s in STAGES])
def test_training_step(benchmark: Any, corpus: Corpus, tmp_path: Path, recipe: str, stage: str) -> None:
    card = nano(recipe, stage)
    module, _, attribute = RECIPES[recipe].partition(":")
    made = getattr(import_module(module), attribute)(card)
    made.prepare(corpus)
    samples = int(card.data.crop_s * made.rate_hz) // made.frame * made.frame + made.margin
    batch = Crops(corpus, card.data.batch, samples).draw(0)
    loop = Loop(card, made, lambda _: batch, tmp_path)
    loop.clock.step = 10**9 if card.run.steps else 0  # past the parts of a run that are cheaper
    benchmark.extra_info["audio_s"] = card.data.batch * card.data.crop_s
    assert benchmark.pedantic(loop._step, (batch,), rounds=3, warmup_rounds=1)


def test_batches_are_never_the_bottleneck(benchmark: Any, corpus: Corpus) -> None:
    """A batch with every augmentation takes a few per cent of the shortest training step (about 0.1 s)."""
    card = nano("focalcodec", "codes")
    crops = Crops(corpus, card.data.batch, 20560, augmentation=card.data.augmentation)
    numbers = iter(range(10**6))
    benchmark.extra_info["audio_s"] = card.data.batch * card.data.crop_s
    assert len(benchmark(lambda: crops.draw(next(numbers))).waves) == card.data.batch
