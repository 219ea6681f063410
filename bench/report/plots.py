"""Rate-distortion plots: scores with intervals over measured bit rate, one small panel per metric.

A family has one colour and one marker in every plot (bench.report.palette); small weights are hollow. Families are named at
their points, not in a legend, by trying places around each point until nothing overlaps.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.metrics import Column
from bench.report.columns import TOP_FAMILIES, column_of, family, score_names
from bench.report.design import SHARED_VOICES
from bench.report.overview import FLOOR_FAMILIES
from bench.report.palette import Style
from bench.report.palette import style as style_of
from bench.report.summary import DRAWS, Cell, Summary, summaries
from bench.stats.labels import name_of, tags_of
from bench.stats.parts import Part
from bench.stats.resampling import SEED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
MAIN_COLUMNS = ("pesq_wb", "stoi", "distillmos", "dwer", "utmos", "sim", "dnsmos_p808", "estoi")
"""Starts of the column names that are drawn when nothing else is asked for, in this order."""
PANELS = 6
LONE = 1.5
TICK_STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), tuple(step / 2 for step in range(2, 20)))
_PLACES = np.array(
    [
        (radius * math.cos(angle), radius * math.sin(angle))
        for radius in (9, 14, 20, 27, 36, 48, 62, 80)
        for angle in np.linspace(0, 2 * math.pi, 16, endpoint=False)
    ]
)
# gr1-0.5, 12, 6 (decoded audio); not v2
_RATE = re.compile(r"(?:(?P<which>.+)-)?[\d.]*(?P<used> \(.+\))?")


@dataclass(frozen=True)
class Printed:
    """A number that a paper prints for a codec without rows here, on the same data. value: in the column's printed unit."""

    codec: str
    kbps: float
    column: str
    value: float


def look_of(system: str) -> str:
    """What shares a colour: the family, with its weights where they are not the official ones."""
    tags = tags_of(system)
    return family(system) + (f" [{tags}]" if tags and not tags.startswith("official") else "")


def series(system: str) -> str:
    """What is joined by a line and named: the rates of one codec. Points that end in no rate (FreeCodec's v2 and v3) are
    each by itself: a line between them would say nothing."""
    rate = _RATE.fullmatch(_operating_point(system))
    which, used = (rate["which"], rate["used"]) if rate else (_operating_point(system), None)
    look = look_of(system)
    tags = tags_of(look)
    return name_of(look) + (f"@{which}" if which else "") + (used or "") + (f" [{tags}]" if tags else "")


def unrated(system: str) -> str:
    """`v2` of `freecodec@v2 [nano]`; empty where the point is a rate."""
    return "" if _RATE.fullmatch(_operating_point(system)) else _operating_point(system)


def _operating_point(system: str) -> str:
    return name_of(system).partition("@")[2]


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
    shared = {mark for marks in summary.marks.values() for mark in marks if mark[1] == SHARED_VOICES}
    if shared:
        title += f"; [nano]: {SHARED_VOICES}"
    # Of 10 points, some 13 letters an inch.
    figure.suptitle(textwrap.fill(title, int(13 * figure.get_figwidth())), fontsize=10, x=0.01, ha="left")
    figure.draw_without_rendering()  # settles the layout, so that pixels mean something ...
    figure.set_layout_engine("none")  # ... also when the names have been added
    for axis, column in zip(axes, columns, strict=False):
        _label(axis, summary, column, systems, style)
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
        points = _points(summary, systems, name, column)
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
    tops = [s for s in summary.systems if family(s) in TOP_FAMILIES and _cell(summary, s, column).n]
    if tops:
        cell = _cell(summary, tops[0], column)
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
    cells = {system: _cell(summary, system, column) for system in systems}
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


def _cell(summary: Summary, system: str, column: Column) -> Cell:
    return summary.cells.get((system, column.name), Cell(float("nan"), float("nan"), float("nan"), 0, {}))


def _points(summary: Summary, systems: Sequence[str], name: str, column: Column) -> list[tuple[float, Cell]]:
    """Bit rate in kbit/s and cell of each scored operating point of a series, by rate."""
    found = [(summary.kbps(s), _cell(summary, s, column)) for s in systems if series(s) == name]
    return sorted((point for point in found if point[1].n), key=lambda point: (point[0], point[1].value))


def _reach(high: float, low: float) -> float:
    return 0.0 if math.isnan(high - low) else max(0.0, high - low)


def _label(
    axis: Axes,
    summary: Summary,
    column: Column,
    systems: Sequence[str],
    style: Mapping[str, Style],
) -> None:
    """Name each series once per panel, and the dashed line, where the names hide nothing."""
    canvas: Any = axis.figure.canvas  # Agg's: it alone measures text without drawing it
    renderer = canvas.get_renderer()
    scale = axis.figure.dpi / 72
    frame = np.array(axis.get_window_extent(renderer).extents)
    spots: dict[str, Floats] = {}
    points_of: dict[str, dict[str, str]] = {}  # look -> series -> operating point
    ink: list[Floats] = []  # points along the lines
    for name in style:
        line = [(rate, cell.value * column.scale) for rate, cell in _points(summary, systems, name, column)]
        if line:
            pixels = axis.transData.transform(np.array(line))
            inside = pixels[(pixels[:, 1] >= frame[1]) & (pixels[:, 1] <= frame[3])]
            if not len(inside):
                continue
            spots[name] = inside
            ink += [np.linspace(a, b, max(2, int(np.hypot(*(b - a)) / 5))) for a, b in pairwise(pixels)]
            bars = [
                ((x, cell.low * column.scale), (x, cell.high * column.scale))
                for x, cell in _points(summary, systems, name, column)
                if cell.low < cell.high
            ]
            ink += [axis.transData.transform(np.linspace(bottom, top, 12)) for bottom, top in bars]
    for system in systems:
        if unrated(system) and series(system) in spots:
            points_of.setdefault(look_of(system), {})[series(system)] = unrated(system)
    words, style = {name: name for name in spots}, dict(style)
    points = np.concatenate(list(spots.values()))
    for look, named in points_of.items():
        if len(named) > 1:  # the family's name once, and short ones at the points
            words |= named | {look: look}
            style[look] = style[next(iter(named))]
            spots[look] = np.concatenate([spots[name] for name in named])
    taken = [np.hstack([points - 4 * scale, points + 4 * scale])]
    tops = [s for s in summary.systems if family(s) in TOP_FAMILIES and _cell(summary, s, column).n]
    if tops:
        _, y = axis.transData.transform((1, _cell(summary, tops[0], column).value * column.scale))
        label = axis.annotate(
            family(tops[0]),
            (frame[0] + 3 * scale, y),
            xycoords="figure pixels",
            fontsize=8,
            color="0.35",
            va="bottom",
            ha="left",
            xytext=(0, 1.5),
            textcoords="offset points",
        )
        taken.append(np.array([label.get_window_extent(renderer).extents]))
        ink.append(np.linspace((frame[0], y), (frame[2], y), 200))
    lines = np.concatenate(ink) if ink else np.zeros((0, 2))
    crowd = {name: min(float(np.sort(np.hypot(*(points - p).T))[:3].sum()) for p in mine) for name, mine in spots.items()}
    for name in sorted(spots, key=lambda n: crowd[n]):  # the crowded ones choose first
        text = axis.text(0, 0, words[name], fontsize=8, fontweight="bold", transform=None)
        x0, y0, x1, y1 = text.get_window_extent(renderer).extents
        text.remove()
        box, point, distance = _place((x1 - x0 + 2 * scale, y1 - y0), spots[name], np.concatenate(taken), lines, frame, scale)
        taken.append(box[None])
        leader = {"arrowstyle": "-", "color": style[name].colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        axis.annotate(
            words[name],
            (point[0], point[1]),
            xytext=middle,
            xycoords="figure pixels",
            textcoords="figure pixels",
            fontsize=8,
            color=style[name].ink,
            fontweight="bold",
            ha="center",
            va="center",
            arrowprops=leader if distance > 15 else None,
            annotation_clip=False,
        )


def _place(
    size: tuple[float, float],
    points: Floats,
    taken: Floats,
    lines: Floats,
    frame: Floats,
    scale: float,
) -> tuple[Floats, Floats, float]:
    """Cheapest box [4] of `size` around any of points [n, 2], the point it names, and its distance in points.

    Overlaps with taken boxes [k, 4] cost most, then leaving the frame, then covering lines [m, 2], then distance.
    """
    w, h = size
    offsets = np.tile(_PLACES, (len(points), 1))
    owner = np.repeat(np.arange(len(points)), len(_PLACES))
    # the label's nearest edge, not its centre, sits at the offset
    x = points[owner, 0] + offsets[:, 0] * scale - np.select([offsets[:, 0] > 3, offsets[:, 0] < -3], [0, w], w / 2)
    y = points[owner, 1] + offsets[:, 1] * scale - h / 2
    boxes = np.stack([x, y, x + w, y + h], axis=1)
    overlaps = np.all((boxes[:, None, :2] < taken[None, :, 2:]) & (taken[None, :, :2] < boxes[:, None, 2:]), axis=2)
    covered = np.all((boxes[:, None, :2] < lines) & (lines < boxes[:, None, 2:]), axis=2)
    outside = (boxes[:, 0] < frame[0]) | (boxes[:, 1] < frame[1]) | (boxes[:, 3] > frame[3])
    outside |= boxes[:, 2] > frame[2]
    distance = np.hypot(*offsets.T)
    cost = distance + 0.02 * distance**2 + 400 * overlaps.sum(axis=1) + 1000 * outside + 6 * np.minimum(covered.sum(axis=1), 12)
    best = int(np.argmin(cost))
    return boxes[best], points[owner[best]], float(distance[best])
