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
    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name in sorted({k for r in steps for k in r["losses"] if k != "_norm"}):
        points = [(r["step"], r["losses"][name]) for r in steps if name in r["losses"]]
        left.plot(*zip(*points, strict=True), label=name.lstrip("_"), linewidth=1)
    left.set(xlabel="step", ylabel="weighted loss", title="losses")
    if steps:
        left.legend(fontsize=7)
    for name in sorted({k for r in scores for k in r["scores"] if k != "quality"}):
        points = [(r["seconds"] / 60, r["scores"][name]) for r in scores if name in r["scores"]]
        right.plot(*zip(*points, strict=True), marker=".", label=name)
    right.set(xlabel="minutes of training", title="validation")
    if scores:
        right.legend(fontsize=7)
    figure.savefig(picture, dpi=110)
