"""What is drawn as one in a plot: the rates of one codec, their colour, their points."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.metrics import Column
from bench.report.columns import family
from bench.report.summary import Cell, Summary
from bench.stats.labels import name_of, tags_of

# gr1-0.5, 12, 6 (decoded audio); not v2
_RATE = re.compile(r"(?:(?P<which>.+)-)?[\d.]*(?P<used> \(.+\))?")


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


def cell_of(summary: Summary, system: str, column: Column) -> Cell:
    """The cell of a system; without a value where it has no score."""
    return summary.cells.get((system, column.name), Cell(float("nan"), float("nan"), float("nan"), 0, {}))


def points_of(summary: Summary, systems: Sequence[str], name: str, column: Column) -> list[tuple[float, Cell]]:
    """Bit rate in kbit/s and cell of each scored operating point of a series, by rate."""
    found = [(summary.kbps(s), cell_of(summary, s, column)) for s in systems if series(s) == name]
    return sorted((point for point in found if point[1].n), key=lambda point: (point[0], point[1].value))
