"""Rate-distortion plots: scores with intervals over measured bit rate, one small panel per metric.

A family has one colour and one marker in every plot (bench.report.palette); small weights are hollow. Families are named at
their points, not in a legend, by trying places around each point until nothing overlaps.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.metrics import Column
from bench.report.columns import TOP_FAMILIES, column_of, family, score_names
from bench.report.design import HEARD
from bench.report.overview import FLOOR_FAMILIES
from bench.report.palette import Style
from bench.report.palette import style as style_of
from bench.report.placing import label
from bench.report.series import cell_of, points_of, series
from bench.report.summary import DRAWS, Summary, summaries
from bench.stats.parts import Part
from bench.stats.resampling import SEED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAIN_COLUMNS = ("pesq_wb", "stoi", "distillmos", "dwer", "utmos", "sim", "dnsmos_p808", "estoi")
"""Starts of the column names that are drawn when nothing else is asked for, in this order."""
PANELS = 6
LONE = 1.5
TICK_STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), tuple(step / 2 for step in range(2, 20)))


@dataclass(frozen=True)
class Printed:
    """A number that a paper prints for a codec without rows here, on the same data. value: in the column's printed unit."""

    codec: str
    kbps: float
    column: str
    value: float


def rate_distortion(
    rows: pd.DataFrame | Sequence[Part],
    columns: Mapping[str, Column],
    path: str | Path,
    names: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    made: Sequence[Summary] | None = None,
    printed: Sequence[Printed] = (),
) -> Path:
    """Write a PNG (or what the suffix says) with a panel per metric, for one task x data x condition.

    names: columns to draw; by default the main ones that are there. printed: hollow grey marks. Codecs without a measured
    rate are left out, references (identity, the original) are the dashed line. Raises BenchError where there is nothing
    to draw.
    """
    if not len(rows):
        raise BenchError("no rows to plot")
    found = made or summaries(rows, columns, draws, seed)
    if len({system.split(" [")[0] for summary in found for system in summary.systems if family(system) not in TOP_FAMILIES}) == 1:
        raise BenchError("a curve needs two operating points with a measured bit rate")
    if len(found) > 1:
        raise BenchError(
            "a rate-distortion plot shows one task, data set and condition; these rows hold "
            + ", ".join(str(summary.group) for summary in found)
        )
    summary = found[0]
    able = [name for name in score_names(summary.columns, columns) if name not in summary.blind]
    if not able and summary.blind:
        raise BenchError(next(iter(summary.blind.values())))
    chosen = [name for name in names if name in able] if names is not None else _main(able)
    drawn = [system for system in summary.systems if family(system) not in TOP_FAMILIES and summary.kbps(system) > 0]
    drawn = [system for system in drawn if family(system) not in FLOOR_FAMILIES] or drawn
    if not chosen or not drawn:
        raise BenchError("nothing to plot: no scored codec with a measured bit rate")
    return _figure(summary, [column_of(name, columns) for name in chosen], drawn, Path(path), printed)


def _main(present: Sequence[str]) -> list[str]:
    out: list[str] = []
    for start in MAIN_COLUMNS:
        out += [name for name in present if name.startswith(start) and name not in out][:1]
    out = (out or list(present))[:PANELS]
    return out if len(out) < 3 or len(out) % 2 == 0 else out[:-1]


def _figure(
    summary: Summary,
    columns: Sequence[Column],
    systems: Sequence[str],
    path: Path,
    printed: Sequence[Printed] = (),
) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    across = 1 if len(columns) == 1 else 2
    down = math.ceil(len(columns) / across)
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(5.2 * across, 3.7 * down + 0.5), dpi=170, layout=layout)
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(down, across, sharex=True, squeeze=False)).ravel()
    by_rate = sorted(systems, key=lambda s: (summary.kbps(s), s))
    style = {series(system): style_of(system) for system in by_rate}
    for axis, column in zip(axes, columns, strict=False):
        _panel(axis, summary, column, systems, style)
        _papers(axis, [mark for mark in printed if mark.column == column.name])
    for axis in axes[len(columns) :]:
        axis.set_visible(False)
    for axis in axes[max(0, len(columns) - across) : len(columns)]:
        axis.set_xlabel("measured bit rate, kbit/s (log)", fontsize=9)
        axis.tick_params(labelbottom=True)
    group = summary.group
    kind = "synthetic speech" if summary.synthetic else "recorded speech"
    part = ", PARTIAL" if summary.partial else ""
    title = (
        f"{group.task} · {group.dataset} · {group.condition}: {summary.utterances} utterances, "
        f"{summary.speakers} speakers, {kind}{part}; bars: 95 % intervals"
    )
    if {mark.column for mark in printed} & {column.name for column in columns}:
        title += "; hollow grey: numbers that papers print"
    for mark in HEARD:
        if marked := sorted({family(system) for system, marks in summary.marks.items() if mark in marks}):
            title += f"; {', '.join(marked)} [nano]: {mark[1]}"
    # Of 10 points, some 13 letters an inch.
    figure.suptitle(textwrap.fill(title, int(13 * figure.get_figwidth())), fontsize=10, x=0.01, ha="left")
    figure.draw_without_rendering()  # settles the layout, so that pixels mean something ...
    figure.set_layout_engine("none")  # ... also when the names have been added
    for axis, column in zip(axes, columns, strict=False):
        label(axis, summary, column, systems, style)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    return path


def _panel(
    axis: Axes,
    summary: Summary,
    column: Column,
    systems: Sequence[str],
    style: Mapping[str, Style],
) -> None:
    axis.set_xscale("log")
    axis.margins(x=0.11)  # names of the outermost codecs stay inside
    for name, look in style.items():
        points = points_of(summary, systems, name, column)
        if not points:
            continue
        x = [rate for rate, _ in points]
        y = [cell.value * column.scale for _, cell in points]
        bars = np.array([[_reach(cell.value, cell.low), _reach(cell.high, cell.value)] for _, cell in points]).T
        edge = (look.colour, 1.0) if look.hollow else ("white", 0.4)
        line: Any = (0, (4, 1.5)) if look.hollow else "-"
        # Two points at one rate are joined by no line either.
        if any(b < 1.05 * a for a, b in pairwise(sorted(x))):
            line = "none"
        axis.errorbar(
            x,
            y,
            yerr=bars * column.scale,
            color=look.colour,
            marker=look.marker,
            markersize=5.5,
            linewidth=1.3,
            linestyle=line,
            elinewidth=1.1,
            capsize=2,
            markerfacecolor="white" if look.hollow else look.colour,
            markeredgecolor=edge[0],
            markeredgewidth=edge[1],
        )
    tops = [s for s in summary.systems if family(s) in TOP_FAMILIES and cell_of(summary, s, column).n]
    if tops:
        cell = cell_of(summary, tops[0], column)
        axis.axhline(cell.value * column.scale, color="0.35", linestyle=(0, (5, 3)), linewidth=1, zorder=1)
        if cell.high > cell.low:
            axis.axhspan(cell.low * column.scale, cell.high * column.scale, color="0.9", zorder=0)
    arrow = {"higher": "higher is better", "lower": "lower is better", "neither": ""}[column.better]
    unit = f", {column.unit}" if column.unit else ""
    axis.set_title(f"{column.title}{unit} ({arrow})", fontsize=10, loc="left")
    axis.grid(True, which="major", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8.5)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    rates = [summary.kbps(s) for s in systems]
    low, high = min(rates) / 1.5, max(rates) * 1.7
    axis.set_xlim(low, high)
    ticks = _ticks(low, high)
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.margins(y=0.12)
    _bound(axis, summary, column, systems, style)


def limits(values: Sequence[float]) -> tuple[float, float] | None:
    """Where an axis ends so that no lone value flattens the others: None where every value may be seen.

    A value is alone when the gap to its neighbour is more than 1.5 times the range of all others.
    """
    some = sorted(values)
    low, high = 0, len(some)
    while high - low > 4 and some[high - 1] - some[high - 2] > LONE * (some[high - 2] - some[low]):
        high -= 1
    while high - low > 4 and some[low + 1] - some[low] > LONE * (some[high - 1] - some[low + 1]):
        low += 1
    return None if (low, high) == (0, len(some)) else (some[low], some[high - 1])


def _bound(axis: Axes, summary: Summary, column: Column, systems: Sequence[str], style: Mapping[str, Style]) -> None:
    """End the axis before a lone value, and tell it at the edge with an arrow."""
    cells = {system: cell_of(summary, system, column) for system in systems}
    values = {system: cell.value * column.scale for system, cell in cells.items() if math.isfinite(cell.value)}
    ends = limits(list(values.values()))
    if ends is None:
        return
    seen = [cell for system, cell in cells.items() if system in values and ends[0] <= values[system] <= ends[1]]
    low = min(cell.low if math.isfinite(cell.low) else cell.value for cell in seen) * column.scale
    high = max(cell.high if math.isfinite(cell.high) else cell.value for cell in seen) * column.scale
    room = 0.15 * (high - low)
    axis.set_ylim(low - room, high + room)
    for system, value in values.items():
        if not low - room <= value <= high + room:
            up = value > high
            axis.annotate(
                f"{value:.{column.decimals}f}",
                (summary.kbps(system), high + room if up else low - room),
                xytext=(0, -16 if up else 16),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8,
                color=style[series(system)].ink,
                arrowprops={"arrowstyle": "->", "color": style[series(system)].colour},
            )


def _papers(axis: Axes, marks: Sequence[Printed]) -> None:
    """Hollow grey marks with small names, within limits that hold them too."""
    if not marks:
        return
    rates = [mark.kbps for mark in marks]
    axis.plot(
        rates,
        [mark.value for mark in marks],
        linestyle="none",
        marker="o",
        markersize=5,
        markerfacecolor="none",
        markeredgecolor="0.55",
        zorder=1.5,
    )
    for mark in marks:
        axis.annotate(mark.codec, (mark.kbps, mark.value), xytext=(4, 3), textcoords="offset points", fontsize=6, color="0.45")
    low, high = axis.get_xlim()
    low, high = min(low, min(rates) / 1.5), max(high, max(rates) * 1.7)
    axis.set_xlim(low, high)
    ticks = _ticks(low, high)
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()


def _ticks(low: float, high: float) -> list[float]:
    """Round bit rates within [low, high]: at least three, from the coarsest steps that have them."""
    ticks: list[float] = []
    for steps in TICK_STEPS:
        ticks = [tick for power in range(-3, 5) for step in steps if low <= (tick := step * 10.0**power) <= high]
        if len(ticks) >= 3:
            break
    return ticks


def _reach(high: float, low: float) -> float:
    return 0.0 if math.isnan(high - low) else max(0.0, high - low)
