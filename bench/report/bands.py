"""Which codec is best at the rate that I can spend: the best of each score within bands of the measured bit rate.

Codecs are compared as in the table, with the same resampled utterances, but only with those of their own band. References and the
floor stand in no band.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.errors import BenchError
from bench.metrics import Column
from bench.report.columns import column_of, half_width, heading, number
from bench.report.rate_distortion import drawn_columns, measured
from bench.report.summary import Summary, best_among
from bench.report.text import clean, code, grid, markdown_table

EDGES_KBPS = (0.375, 0.75, 1.5, 3.0, 6.0, 12.0, 24.0)
"""Where one band ends and the next begins, kbit/s: each band reaches to twice its start."""
HEAD = ("kbps", "codecs")
NOTE = (
    "The best of each score among the codecs of a band of the measured rate, and every codec whose paired 95 % interval "
    "against it includes 0; ±: half of the 95 % interval. A codec that is alone in its band has won against nobody."
)


@dataclass(frozen=True)
class Band:
    """Measured rates from `low` up to, but without, `high`, kbit/s."""

    low: float
    high: float

    @property
    def title(self) -> str:
        """`0.75 to 1.5`, `below 0.375`, `24 and more`."""
        if self.low <= 0:
            return f"below {self.high:g}"
        return f"{self.low:g} and more" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"

    def __contains__(self, kbps: float) -> bool:
        return self.low <= kbps < self.high


BANDS = tuple(Band(low, high) for low, high in pairwise((0.0, *EDGES_KBPS, math.inf)))


@dataclass(frozen=True)
class Winners:
    """One band of one table. systems: of the band, by falling rate. best: column -> its best systems, the first in front."""

    band: Band
    systems: tuple[str, ...]
    best: Mapping[str, tuple[str, ...]]


def parse(text: str) -> Band:
    """`0.75-1.5`, `24-` or `-0.75` -> Band. Raises BenchError for what is none."""
    found = re.fullmatch(r"\s*([\d.]*)\s*(?:-|to)\s*([\d.]*)\s*", text)
    try:
        assert found is not None and (found[1] or found[2])
        band = Band(float(found[1] or 0), float(found[2] or math.inf))
    except (AssertionError, ValueError):
        band = Band(1, 0)
    if not band.low < band.high:
        raise BenchError(
            f"--band {text}: write LOW-HIGH in kbit/s, for example 0.75-1.5; the folder of tables stands before --band"
        )
    return band


def within(summary: Summary, band: Band) -> tuple[str, ...]:
    """The systems of a table whose measured rate lies in a band."""
    return tuple(system for system in measured(summary) if summary.kbps(system) in band)


def winners(summary: Summary, columns: Mapping[str, Column]) -> list[Winners]:
    """The bands that hold a codec, by rising rate, with the best of each main score."""
    names = drawn_columns(summary, columns)
    some = [(band, within(summary, band)) for band in BANDS]
    some = [(band, systems) for band, systems in some if systems]
    if not names or not some:
        return []
    best = best_among(summary, columns, names, [systems for _, systems in some])
    return [Winners(band, systems, of_band) for (band, systems), of_band in zip(some, best, strict=True)]


def title(summary: Summary) -> str:
    """What a view by bands is of."""
    group = summary.group
    return f"{group.task} | {group.dataset} | {group.condition}"


def terminal(summary: Summary, columns: Mapping[str, Column], width: int = 120) -> str:
    """The winners of each band as text; of several in one cell, each on a line of its own."""
    names = drawn_columns(summary, columns)
    lines: list[list[str]] = []
    for won in winners(summary, columns):
        cells = [[_told(summary, system, name, columns, "^") for system in won.best.get(name, ())] or ["–"] for name in names]
        for place in range(max(map(len, cells))):
            head = [won.band.title, str(len(won.systems))] if place == 0 else ["", ""]
            lines.append([*head, *(cell[place] if place < len(cell) else "" for cell in cells)])
    if not lines:
        return f"{clean(title(summary))}\n{_nobody(summary)}\n"
    head = [*HEAD, *(heading(column_of(name, columns)) for name in names)]
    table = grid(head, lines, width, keep=2, left=(0, *range(2, len(head))))
    marks = {mark: meaning.partition(" (")[0] for system in summary.systems for mark, meaning in summary.marks.get(system, ())}
    shown = {
        mark
        for won in winners(summary, columns)
        for some in won.best.values()
        for s in some
        for mark, _ in summary.marks.get(s, ())
    }
    legend = [f"{mark}: {clean(marks[mark])}" for mark in sorted(shown)]
    return "\n".join([clean(title(summary)), "", table, "", NOTE, *legend, ""])


def markdown(summary: Summary, columns: Mapping[str, Column]) -> str:
    """The winners of each band as a GitHub table."""
    names = drawn_columns(summary, columns)
    lines = []
    for won in winners(summary, columns):
        cells = [
            "<br>".join(_marked(summary, system, name, columns) for system in won.best.get(name, ())) or "–" for name in names
        ]
        lines.append([won.band.title, str(len(won.systems)), *cells])
    if not lines:
        return ""
    head = [*HEAD, *(heading(column_of(name, columns)) for name in names)]
    return f"{markdown_table(head, lines)}\n\n{NOTE}\n"


def _nobody(summary: Summary) -> str:
    return next(iter(summary.blind.values()), "no codec with a measured rate")


def _marked(summary: Summary, system: str, name: str, columns: Mapping[str, Column]) -> str:
    return f"{code(system)} {_told(summary, system, name, columns, '').removeprefix(system).strip()}"


def _told(summary: Summary, system: str, name: str, columns: Mapping[str, Column], before: str) -> str:
    cell, column = summary.cells[system, name], column_of(name, columns)
    marks = "".join(dict.fromkeys(mark for mark, _ in summary.marks.get(system, ()))) if before else ""
    value = f"{number(cell.value, column)} {half_width(cell.low, cell.high, column)}".strip()
    return f"{system}{before + marks if marks else ''} {value}"


def records(summary: Summary, columns: Mapping[str, Column]) -> Sequence[Mapping[str, object]]:
    """One record for each band, column and best system, in the column's own unit."""
    where = {"task": summary.group.task, "dataset": summary.group.dataset, "condition": summary.group.condition}
    out = []
    for won in winners(summary, columns):
        for name, systems in won.best.items():
            for system in systems:
                cell = summary.cells[system, name]
                out.append({
                    **where, "band": won.band.title, "codecs": len(won.systems), "column": name, "system": system,
                    "kbps": summary.kbps(system), "value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n,
                    "failed": cell.failed, "first": system == systems[0],
                })  # fmt: skip
    return out
