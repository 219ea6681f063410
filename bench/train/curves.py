"""Curves of a run as a picture: losses over steps, scores over training time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(log: Path) -> list[dict[str, Any]]:
    """The records of a log.jsonl. A run that was resumed may have written some steps twice: the last counts."""
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    last = {(r.get("step"), "scores" in r): r for r in records}
    return [last[key] for key in sorted(last, key=lambda k: (k[0] or 0, k[1]))]


def draw(log: Path, picture: Path) -> None:
    """Write `picture` (PNG) from the records of `log`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    records = read(log)
    steps = [r for r in records if "losses" in r]
    scores = [r for r in records if "scores" in r]
    names = list(dict.fromkeys(k for r in scores for k in r["scores"] if k != "quality"))
    width = 11.0 if names else 5.5
    figure = Figure(figsize=(width, max(4.0, 1.1 * len(names))), layout="constrained")
    FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(1, 2 if names else 1, squeeze=False)[0]
    axes = halves[0].subplots()
    for name in sorted({k for r in steps for k in r["losses"] if k != "_norm"}):
        points = [(r["step"], r["losses"][name]) for r in steps if name in r["losses"]]
        axes.plot(*zip(*points, strict=True), label=name.lstrip("_"), linewidth=1)
    axes.set(xlabel="step", ylabel="weighted loss")
    if steps:
        # Below the title and above the axes: inside, it would lie on some line.
        axes.set_title("losses", pad=32)
        axes.legend(fontsize=7, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    if names:
        # Scores have scales of their own: a panel each.
        panels = halves[1].subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for panel, name in zip(panels, names, strict=True):
            points = [(r["seconds"] / 60, r["scores"][name]) for r in scores if name in r["scores"]]
            panel.plot(*zip(*points, strict=True), marker=".")
            panel.set_ylabel(name, fontsize=8)
            panel.tick_params(labelsize=8)
        panels[0].set_title("validation")
        panels[-1].set_xlabel("minutes of training")
    figure.savefig(picture, dpi=110)
