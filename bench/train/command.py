"""`python -m bench.train RECIPE`: train a network by a recipe card, watch it, resume it.

    python -m bench.train focalcodec                  # a trial: one minute on the speech that ships
    python -m bench.train focalcodec --config nano --stage synthesis --out runs/focalcodec
    python -m bench.train freqcodec --config paper --set data.batch=32 --set run.steps=300000
    accelerate launch -m bench.train funcodec --config paper

The folder --out gets log.jsonl, state.pt (checkpoint; --resume goes on from it), weights.safetensors, curves.png and
card.json, the settings that were in force.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import writing
from bench.cards import CODECS
from bench.errors import BadCard, BenchError, UnknownName
from bench.guard import guarded

if TYPE_CHECKING:
    from bench.speech import Utterance
    from bench.train.data import Corpus
    from bench.train.recipe import Recipe
    from bench.train.settings import RecipeCard

TRIAL = "tiny"
"""Configuration of a run without arguments."""

RECIPES = {
    "focalcodec": "bench.train.focalcodec:FocalCodecRecipe",
    "freqcodec": "bench.train.freqcodec:FreqCodecRecipe",
    "funcodec": "bench.train.freqcodec:FreqCodecRecipe",
    "freecodec": "bench.train.freecodec:FreeCodecRecipe",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 after one line that says what is wrong and what to do."""
    parser = argparse.ArgumentParser(prog="python -m bench.train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--config", default="", help="tiny, nano, paper, or a TOML file (default: tiny; with --stage: nano)")
    parser.add_argument("--stage", default="", help="stage of a recipe that has several")
    parser.add_argument("--out", type=Path, default=None, help="folder of this run (default: runs/RECIPE-CONFIG[-STAGE])")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. run.steps=1000, data.batch=4")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    parsed = parser.parse_args(argv)
    return guarded(lambda: _run(parsed))


def _run(parsed: argparse.Namespace) -> int:
    config = parsed.config or ("nano" if parsed.stage else TRIAL)
    card = choose(parsed.recipe, config, parsed.stage, parsed.set)
    name = "-".join(part for part in (parsed.recipe, Path(config).stem, parsed.stage) if part)
    train(card, parsed.out or Path("runs") / name, resume=parsed.resume)
    if config == TRIAL:
        print(real_run(parsed.recipe))
    return 0


def real_run(recipe: str) -> str:
    """What a run that gives useful weights needs: configurations and stages, speech, Whisper's file."""
    from bench import toml
    from bench.train.whisper import WHERE

    lines = [f"This was a trial: its weights are of no use. Runs of {recipe} that give useful ones:"]
    for config, machine in (("nano", "hours on a CPU"), ("paper", "days on a GPU")):
        path = CODECS / recipe / f"recipe.{config}.toml"
        if not path.is_file():
            continue
        tables = toml.load(path)
        stages = list(tables.get("stages", ()))
        stage = f" --stage {stages[0]}" if stages else ""
        more = f" (then {', '.join(stages[1:])})" if stages[1:] else ""
        lines.append(f"  {config}, {machine}: python -m bench.train {recipe} --config {config}{stage}{more}")
        lines.append(f"    speech: {', '.join(tables['data']['sources'])}; other: --set data.sources='[\"folder:/my/speech\"]'")
        losses = [tables.get("loss", {}), *(table.get("loss", {}) for table in tables.get("stages", {}).values())]
        if any(loss.get("whisper") for loss in losses):
            lines.append(f"    Whisper's tiny.en.pt in this folder, or --set loss.whisper=PATH: {WHERE}")
    return "\n".join(lines)


def choose(recipe: str, config: str, stage: str = "", assignments: Sequence[str] = ()) -> RecipeCard:
    """The card of a recipe with KEY=VALUE assignments over it. Raises UnknownName or BadCard."""
    from bench.train import settings

    if recipe not in RECIPES:
        raise UnknownName("recipe", recipe, RECIPES)
    path = Path(config) if config.endswith(".toml") else CODECS / recipe / f"recipe.{config}.toml"
    if not path.is_file():
        known = [p.name.split(".")[1] for p in sorted((CODECS / recipe).glob("recipe.*.toml"))]
        raise UnknownName(f"configuration of {recipe}", config, known)
    card = settings.read(path, stage, dict(assignment(text) for text in assignments))
    if card.recipe != recipe:
        raise BenchError(f"{path}: this card is of the recipe '{card.recipe}', not '{recipe}'")
    return card


def assignment(text: str) -> tuple[str, Any]:
    """`run.steps=1000` -> ("run.steps", 1000); what is no TOML value is a string."""
    key, equals, value = text.partition("=")
    if not equals:
        raise BenchError(f"--set {text}: write KEY=VALUE, e.g. --set run.steps=1000")
    try:
        return key, tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return key, value


@dataclass(frozen=True)
class Prepared:
    """A recipe that has met its speech. weights: how often each utterance of `corpus` is drawn; held: for validation."""

    recipe: Recipe
    corpus: Corpus
    weights: list[float]
    held: list[Utterance]


def prepared(card: RecipeCard) -> Prepared:
    """Load the data and build the recipe of a card. Raises BenchError."""
    from bench.train import data as speech

    sets = speech.load(card.data.sources)
    kept, held = speech.held_out(list(sets[0]), card.data.held_out)
    utterances = [kept, *(list(s) for s in sets[1:])]
    recipe: Recipe = _class(card.recipe)(card)
    if card.data.augmentation.input.any and not recipe.hears_apart:
        raise BadCard(f"{card.path} [data.augmentation.input]: the recipe '{card.recipe}' hears its target; take the table out")
    corpus = speech.Corpus([u for part in utterances for u in part], recipe.rate_hz, card.data.resample)
    recipe.prepare(corpus)
    factors = [*card.data.weights, *[1.0] * (len(utterances) - len(card.data.weights))]
    weights = [factor for part, factor in zip(utterances, factors, strict=True) for _ in part]
    return Prepared(recipe, corpus, weights, held)


def train(card: RecipeCard, folder: Path, resume: bool = False) -> Any:
    """Load the data, build the recipe, run the loop; returns `bench.train.loop.Trained`."""
    from bench.train import curves
    from bench.train import data as speech
    from bench.train.loop import Loop
    from bench.train.settings import as_table
    from bench.train.validate import Validator

    writing.check_folder(folder, "name another folder with --out")
    ready = prepared(card)
    recipe, corpus = ready.recipe, ready.corpus
    samples = int(card.data.crop_s * recipe.rate_hz) // recipe.frame * recipe.frame + recipe.margin
    crops = speech.Crops(corpus, card.data.batch, samples, card.run.seed, card.data.augmentation, ready.weights)
    validate = None
    if card.run.validate_every_s:
        validate = Validator(ready.held[: card.run.validate_items], card.run.validate_metrics, recipe.rate_hz)
    folder.mkdir(parents=True, exist_ok=True)
    loop = Loop(card, recipe, crops.draw, folder, validate, tell, corpus.sha256)
    if loop.first:
        (folder / "card.json").write_text(json.dumps(as_table(card), indent=1) + "\n", encoding="utf-8")
        print(f"{card.title}: {len(corpus.waves)} utterances, {corpus.seconds / 3600:.2f} h; {folder}", flush=True)
    trained = loop.run(resume)
    if loop.first:
        curves.draw(folder / "log.jsonl", folder / "curves.png")
        print(f"{trained.steps} steps in {trained.seconds / 60:.1f} min: {trained.folder / 'weights.safetensors'}")
    return trained


def _class(name: str) -> Any:
    module, _, attribute = RECIPES[name].partition(":")
    return getattr(import_module(module), attribute)


def tell(record: dict[str, Any]) -> None:
    """One line of a record: step, share of the budget, rate, time left, waiting for data, losses; or the scores."""
    if "losses" in record:
        losses = "  ".join(f"{k.lstrip('_')} {v:.3f}" for k, v in record["losses"].items())
        left = f"{record['left_s'] // 60:.0f} min left"
        rate = f"{record['audio_s_per_s']:.1f} s/s, waiting {record['waiting']:.1%}"
        text = f"step {record['step']}  {record['progress']:.1%}  {left}  {rate}  {losses}"
    elif "scores" in record:
        scores = "  ".join(f"{k} {v:.3f}" for k, v in record["scores"].items())
        text = f"validation at step {record['step']}: {scores}  {record['facts'] or ''}"
    else:
        text = f"note: {record['note']}"
    print(text, file=sys.stderr, flush=True)
