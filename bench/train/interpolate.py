"""Weights between those that a run began with and those it ended with (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903,
section 3).

    python -m bench.train.interpolate runs/focalcodec-nano-words25 --share 0.5 --out runs/focalcodec-nano-25

A short stage towards one aim (words, say) gives up some of another (naturalness). On the straight line between, much of
both is often to be had, sometimes more of the one than at either end: measure a few points, on speech held out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench import writing
from bench.errors import BenchError
from bench.guard import guarded
from bench.train import checkpoint
from bench.train.command import assignment, prepared
from bench.train.ema import MovingAverage, write
from bench.train.settings import parse

if TYPE_CHECKING:
    from bench.train.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 after one line that says what is wrong and what to do."""
    parser = argparse.ArgumentParser(prog="python -m bench.train.interpolate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a finished run: card.json and state.pt")
    parser.add_argument("--share", required=True, type=float, help="0: as the run began, 1: as it ended")
    parser.add_argument("--out", required=True, type=Path, help="folder that gets weights.safetensors")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. loss.initial, where it moved")
    parsed = parser.parse_args(argv)
    return guarded(lambda: _run(parsed))


def _run(parsed: argparse.Namespace) -> int:
    if not 0.0 <= parsed.share <= 1.0:
        raise BenchError(f"--share {parsed.share:g}: must lie between 0 and 1")
    writing.check_folder(parsed.out, "name another folder with --out")
    path = parsed.run / "card.json"
    if not path.is_file():
        raise BenchError(f"{path}: no such card; name the folder of a run of bench.train")
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw = {key: value for key, value in raw.items() if key not in ("path", "stages")}
    card = parse(raw, path, overrides=dict(assignment(text) for text in parsed.set))
    state = checkpoint.load(parsed.run / "state.pt", card.fingerprint, str(path))
    recipe = prepared(card).recipe
    mixed = interpolate(recipe, state, parsed.share)
    target = parsed.out / "weights.safetensors"
    note = {"share": f"{parsed.share:g} of the way from the run's beginning to its end"}
    write(target, recipe, card, int(state["step"]), recipe.packed(mixed), note)
    print(f"{target}: {note['share']}, step {state['step']}")
    return 0


def interpolate(recipe: Recipe, state: Mapping[str, Any], share: float) -> dict[str, Tensor]:
    """(1 - share) of what `recipe` exports now and `share` of what it exports with the (averaged) weights of the
    checkpoint `state`; in `recipe` are then the latter. What does not differ stays bit for bit."""
    first = {name: value.detach().clone() for name, value in recipe.export().items()}
    recipe.load_state_dict(state["recipe"])
    if state["average"] is not None:
        average = MovingAverage(recipe, 1.0)
        average.restore(state["average"])
        average.swap_in(recipe)
    recipe.eval()
    last = recipe.export()
    changed = {name for name in last if not torch.equal(first[name], last[name])}
    for name in sorted(changed):
        if not last[name].is_floating_point():
            raise BenchError(f"'{name}' holds integers that the run changed; there is nothing between them")
    return {
        name: torch.lerp(first[name].float(), value.float(), share) if name in changed else value for name, value in last.items()
    }


if __name__ == "__main__":
    sys.exit(main())
