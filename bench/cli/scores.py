"""What `bench show` tells of a codec's scores: ours, table by table, with the paper's number beside each. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cards import Point
from bench.metrics import Column
from bench.report.columns import column_of, half_width, heading, number, score_names
from bench.report.design import caveats
from bench.report.summary import DRAWS
from bench.results import files, merge
from bench.stats import bootstrap
from bench.stats.items import CLUSTERS_NEEDED
from bench.stats.labels import CEILING
from bench.stats.resampling import Scheme

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = ("task", "profile", "dataset", "condition", "codec", "weights", "role", "variant", "utterance", "speaker", "column",
          "metric", "value", "num", "den", "failure")  # fmt: skip


@dataclass(frozen=True)
class Ours:
    """One line: where it was scored, the column's heading, `2.93 ±.13`, what the paper prints (or ""), n and failures."""

    where: str
    column: str
    value: str
    paper: str
    n: int
    failed: int
    note: str = ""


def ours(point: Point, bases: Sequence[Path]) -> Iterator[Ours]:
    """Scores of an operating point in every table at or below `bases`, with the intervals of the leaderboard."""
    from bench.columns import every_column

    known = every_column()
    for table in [table for base in bases for table in files.tables(base)]:
        for path in files.paths(table):
            if path.name.startswith(point.name) and _usual(files.about(path), point):
                rows, _ = merge.current(path, FIELDS)
                if len(rows):
                    yield from _lines(point, rows, known)


def _usual(facts: Mapping[str, Any], point: Point) -> bool:
    """Whether a file holds what the operating point does as it is, and not what it could reach or does under a condition."""
    return facts.get("codec") == point.name and facts.get("role") != CEILING and not facts.get("variant")


def _lines(point: Point, rows: pa.Table, known: Mapping[str, Column]) -> Iterator[Ours]:
    from bench.tasks import columns

    first = rows.slice(0, 1).to_pylist()[0]
    fields = {name: np.array(rows[name].cast("string").to_pylist(), dtype=object) for name in ("column", "speaker", "failure")}
    numbers = {name: np.array(rows[name].to_pylist(), dtype=float) for name in ("value", "num", "den")}
    present = dict.fromkeys(fields["column"])
    named = columns.named(str(first["task"]), str(first["profile"]))
    names = score_names(present, {name: known[name] for name in named if name in known})
    weights = "" if first["weights"] in (None, "none") else f" [{first['weights']}]"
    kind = "" if first["condition"] in (None, "", "clean") else f", {first['condition']}"
    where = f"{first['task']}, {first['dataset']}{kind}{weights}"
    marks = caveats(f"{point.name}{weights}", str(first["dataset"]), any(name.startswith("sim_") for name in names))
    note = "; ".join(meaning for _, meaning in marks)
    papers = {
        column: (value, entry.source, entry.data)
        for entry in reversed(point.card.reported)
        if entry.point == point.point
        and entry.name(point) == str(first["codec"])
        and entry.task == first["task"]
        and (entry.condition or "clean") == (first["condition"] or "clean")
        for column, value in entry.scores.items()
    }
    for name in names:
        mine = fields["column"] == name
        top, bottom = numbers["num"][mine], numbers["den"][mine]
        ratio = np.isfinite(top) & np.isfinite(bottom)
        top, bottom = np.where(ratio, top, numbers["value"][mine]), np.where(ratio, bottom, 1.0)
        good = np.isfinite(top) & np.array([failure is None for failure in fields["failure"][mine]], dtype=bool)
        if not good.any():
            continue
        speakers = fields["speaker"][mine][good].astype(str)
        count = len(set(speakers))
        scheme: Scheme = "cluster" if count >= CLUSTERS_NEEDED else "stratified" if 1 < count < int(good.sum()) else "utterance"
        found = bootstrap.interval(top[good], bottom[good], speakers, scheme, "expanded", draws=DRAWS)
        column = column_of(name, known)
        value = f"{number(found.estimate, column)} {half_width(found.low, found.high, column)}".strip()
        paper, source, data = papers.get(name, (None, "", ""))
        told = "" if paper is None else f"{paper:g} ({source}, {data})" if data else f"{paper:g} ({source})"
        yield Ours(where, heading(column), value, told, int(good.sum()), int((~good).sum()), note)


def text(lines: Sequence[Ours]) -> str:
    """The lines as a table for each place, the paper's numbers beside ours."""
    from bench.report.text import grid

    out: list[str] = []
    for where in dict.fromkeys(line.where for line in lines):
        mine = [line for line in lines if line.where == where]
        out += ["", f"ours: {where}" + (f" ({mine[0].note})" if mine[0].note else "")]
        cells = [
            [line.column, line.value, line.paper, f"{line.n}" + (f", {line.failed} failed" if line.failed else "")]
            for line in mine
        ]
        out.append(grid(["column", "ours, 95 %", "paper", "n"], cells, 160, left=(0, 2)))
    return "\n".join(out)
