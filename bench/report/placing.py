"""Names at the points of a plot, each where it hides nothing: places around a point are tried, the cheapest is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column
from bench.report.columns import TOP_FAMILIES, family
from bench.report.palette import Style
from bench.report.series import cell_of, look_of, points_of, series, unrated
from bench.report.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

_PLACES = np.array(
    [
        (radius * math.cos(angle), radius * math.sin(angle))
        for radius in (9, 14, 20, 27, 36, 48, 62, 80)
        for angle in np.linspace(0, 2 * math.pi, 16, endpoint=False)
    ]
)


def label(
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
    short: dict[str, dict[str, str]] = {}  # look -> series -> operating point
    ink: list[Floats] = []  # points along the lines
    for name in style:
        line = [(rate, cell.value * column.scale) for rate, cell in points_of(summary, systems, name, column)]
        if line:
            pixels = axis.transData.transform(np.array(line))
            inside = pixels[(pixels[:, 1] >= frame[1]) & (pixels[:, 1] <= frame[3])]
            if not len(inside):
                continue
            spots[name] = inside
            ink += [np.linspace(a, b, max(2, int(np.hypot(*(b - a)) / 5))) for a, b in pairwise(pixels)]
            bars = [
                ((x, cell.low * column.scale), (x, cell.high * column.scale))
                for x, cell in points_of(summary, systems, name, column)
                if cell.low < cell.high
            ]
            ink += [axis.transData.transform(np.linspace(bottom, top, 12)) for bottom, top in bars]
    for system in systems:
        if unrated(system) and series(system) in spots:
            short.setdefault(look_of(system), {})[series(system)] = unrated(system)
    words, style = {name: name for name in spots}, dict(style)
    points = np.concatenate(list(spots.values()))
    for look, named in short.items():
        if len(named) > 1:  # the family's name once, and short ones at the points
            words |= named | {look: look}
            style[look] = style[next(iter(named))]
            spots[look] = np.concatenate([spots[name] for name in named])
    taken = [np.hstack([points - 4 * scale, points + 4 * scale])]
    tops = [s for s in summary.systems if family(s) in TOP_FAMILIES and cell_of(summary, s, column).n]
    if tops:
        _, y = axis.transData.transform((1, cell_of(summary, tops[0], column).value * column.scale))
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
        box, point, distance = place((x1 - x0 + 2 * scale, y1 - y0), spots[name], np.concatenate(taken), lines, frame, scale)
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


def place(
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
