"""A plot of lines that are one codec under several conditions, `codec (condition)`: a panel per metric, a row per condition."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError
from bench.metrics import Column
from bench.report.columns import column_of, score_names
from bench.report.palette import style
from bench.report.summary import Summary, summaries
from bench.stats.labels import codec_of, tags_of, variant_of
from bench.stats.parts import Part

if TYPE_CHECKING:
    import pandas as pd

PANELS = 4
# random loss 5 %, tandem 2; not 8 kHz
_AMOUNT = re.compile(r"(.+?)(?: ([\d.]+)(?: \S+)?)?")


def condition_of(system: str) -> tuple[str, str]:
    """`opus@6 (random loss 5 %)` -> (`opus@6`, `random loss 5 %`); the weights stay with the codec."""
    tags = tags_of(system)
    return codec_of(system) + (f" [{tags}]" if tags else ""), variant_of(system)


def conditions(
    rows: pd.DataFrame | Sequence[Part], columns: Mapping[str, Column], path: str | Path, made: Sequence[Summary] | None = None
) -> Path:
    """Write a PNG (or what the suffix says) of one task x data x condition. Raises BenchError where there is nothing to draw."""
    found = made or summaries(rows, columns)
    if len(found) != 1:
        raise BenchError(f"a plot of conditions shows one task, data set and condition; these rows hold {len(found)}")
    summary = found[0]
    chosen = [column_of(name, columns) for name in score_names(summary.columns, columns)][:PANELS]
    named = {system: condition_of(system) for system in summary.systems}
    codecs = list(dict.fromkeys(codec for codec, _ in named.values()))
    # In the order of the codec that has most of them: some conditions are not put to every codec.
    listed = sorted(([c for codec, c in named.values() if codec == one and c] for one in codecs), key=len, reverse=True)
    order = list(dict.fromkeys(condition for some in listed for condition in some))
    if not chosen or not order:
        raise BenchError("nothing to plot: no scored line with a condition")
    return _figure(summary, chosen, codecs, sorted(order, key=_natural), named, Path(path))


def _natural(text: str) -> tuple[bool, str, float]:
    """Names in order, their amounts by size; the undisturbed first."""
    found = _AMOUNT.fullmatch(text)
    name, amount = found.groups() if found else (text, None)
    return text != "undisturbed", name, float(amount or 0)


def _figure(
    summary: Summary, columns: Sequence[Column], codecs: Sequence[str], order: Sequence[str],
    named: Mapping[str, tuple[str, str]], path: Path,
) -> Path:  # fmt: skip
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 + 2.4 * len(columns), 1.4 + 0.26 * len(order)), dpi=170, layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(1, len(columns), sharey=True))
    place = {condition: len(order) - 1 - n for n, condition in enumerate(order)}
    system_of = {pair: system for system, pair in named.items()}
    for axis, column in zip(axes, columns, strict=True):
        for n, codec in enumerate(codecs):
            points = [
                (place[condition], cell)
                for condition in order
                if (cell := summary.cells.get((system_of.get((codec, condition), ""), column.name))) and cell.n
            ]
            shift = 0.3 * (0.5 - (n + 0.5) / len(codecs))
            values = np.array([cell.value for _, cell in points]) * column.scale
            bars = np.array([[max(0.0, cell.value - cell.low), max(0.0, cell.high - cell.value)] for _, cell in points])
            look = style(codec)
            axis.errorbar(
                values, [at + shift for at, _ in points], xerr=np.nan_to_num(bars).reshape(-1, 2).T * column.scale,
                color=look.colour, marker=look.marker, markersize=4, linestyle="none",
                markerfacecolor="white" if look.hollow else look.colour, elinewidth=1, label=codec,
            )  # fmt: skip
        arrow = {"higher": "→ better", "lower": "← better", "neither": ""}[column.better]
        axis.set_title(f"{column.title} {column.unit} {arrow}".replace("  ", " "), fontsize=9, loc="left")
        axis.set_yticks(list(place.values()), list(place), fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(True, color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    group = summary.group
    kind = "synthetic speech" if summary.synthetic else "recorded speech"
    part = ", PARTIAL" if summary.partial else ""
    title = (
        f"{group.task} · {group.dataset}: {summary.utterances} utterances, {summary.speakers} speakers, {kind}{part}; "
        "bars: 95 % intervals"
    )
    # Of 9 points, some 14 letters an inch.
    figure.suptitle(textwrap.fill(title, int(14 * figure.get_figwidth())), fontsize=9, x=0.01, ha="left")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(codecs), fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    return path
