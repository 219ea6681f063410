"""The first table: which codec should I build on? Rate as sent, delay, speed, size, licence, and the telling scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.metrics import Column
from bench.report.columns import column_of, family, half_width, heading, number, score_names
from bench.report.design import Design, design
from bench.report.summary import Cell, Summary

TELLING = (
    ("mushra", "distillmos", "utmos", "dnsmos_p808", "dnsmos", "pesq_wb", "stoi"),
    ("dwer", "probe_wer", "probe_er", "wer"),
    ("sim", "f0"),
)
"""Of quality, words and voice: starts of the names of the columns that tell most, the first that is there."""
THEMES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("Words and voice", lambda name: any(part in name for part in ("wer", "cer", "sim_", "f0", "probe_"))),
    ("Quality", lambda name: True),
)
FLOOR_FAMILIES = frozenset({"random-codes"})
"""The floor: nothing to build on, and not drawn beside others, which it would press into a corner."""
USED_OTHERWISE = ("chunked", "degraded")
"""Roles of codecs that run in pieces, several times over, or behind a channel."""
PARETO = "◆"
NOTE = (f"{PARETO}: Pareto row: no other row is as cheap and as good in every score here, and better in one of them. "
        "RTF: compute time of encoding and decoding over the duration of the audio, one thread. ms: latency by the algorithm, "
        "where the card tells it. M: millions of parameters.")  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One row. kbps: as sent, NaN where not measured. rtf: encode and decode together, NaN where not measured.

    pareto: no other row that competes is as cheap and as good in all `names` of its table, and better in one.
    """

    system: str
    kbps: float
    rtf: float
    design: Design
    cells: Mapping[str, Cell]
    pareto: bool = False


@dataclass(frozen=True)
class Overview:
    """The rows of one table, in its order; names: of the telling columns."""

    names: tuple[str, ...]
    entries: tuple[Entry, ...]


def overview(summary: Summary, columns: Mapping[str, Column]) -> Overview | None:
    """The first table of a summary; None where no rates were measured (somebody else's audio, a set of references)."""
    present = [name for name in score_names(summary.columns, columns) if name not in summary.blind]
    names = telling(present)
    entries = [_entry(summary, system, names) for system in summary.systems if family(system) not in FLOOR_FAMILIES]
    if not names or not any(entry.kbps > 0 for entry in entries):
        return None
    ups = {name: 1.0 if column_of(name, columns).better == "higher" else -1.0 for name in names}
    points = {entry.system: _point(entry, ups) for entry in entries if summary.competes(entry.system) and _is_known(entry, names)}
    front = {system for system, mine in points.items()
             if not any(_dominates(other, mine) for name, other in points.items() if name != system)}  # fmt: skip
    return Overview(names, tuple(replace(entry, pareto=entry.system in front) for entry in entries))


def telling(present: Sequence[str]) -> tuple[str, ...]:
    """The column of each theme that tells most, of those present; the first three where no theme has one."""
    found = [next((name for start in starts for name in present if name.startswith(start)), "") for starts in TELLING]
    return tuple(dict.fromkeys(name for name in found if name)) or tuple(present[:3])


def themes(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(theme, its columns) in the order of the themes' first columns; themes without columns are left out."""
    out: dict[str, list[str]] = {}
    for name in names:
        theme = next(title for title, belongs in THEMES if belongs(name))
        out.setdefault(theme, []).append(name)
    return list(out.items())


def _entry(summary: Summary, system: str, names: Sequence[str]) -> Entry:
    times = [cell.value for name in ("rtf_encode", "rtf_decode") if (cell := summary.cells.get((system, name)))]
    rtf = sum(times) if len(times) == 2 else float("nan")
    cells = {name: cell for name in names if (cell := summary.cells.get((system, name))) is not None}
    made = design(system)
    if summary.roles.get(system) in USED_OTHERWISE:  # how long it waits is not its card's to say
        made = replace(made, causal=None, latency_ms=None)
    return Entry(system, summary.kbps(system), rtf, made, cells)


def _is_known(entry: Entry, names: Sequence[str]) -> bool:
    """Whether a row has a rate and every score: what has not stands outside the Pareto front."""
    return entry.kbps > 0 and all(name in entry.cells and math.isfinite(entry.cells[name].value) for name in names)


def _point(entry: Entry, ups: Mapping[str, float]) -> tuple[float, ...]:
    """Rate and scores so that larger is better."""
    return (-entry.kbps, *(up * entry.cells[name].value for name, up in ups.items()))


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def short_heading(column: Column) -> str:
    """The heading without the name of the model that scores: `dWER % ↓`; the tables below have it in full."""
    return heading(replace(column, title=column.title.partition(" (")[0]))


FACTS_HEAD = ("kbps", "kHz", "causal", "ms", "RTF")


def facts(entry: Entry) -> list[str]:
    """Cells under FACTS_HEAD."""
    made = entry.design
    latency = f"{made.latency_ms:g}" if made.latency_ms is not None else ""
    rtf = "" if math.isnan(entry.rtf) else f"{entry.rtf:.3f}" if entry.rtf < 1 else f"{entry.rtf:.3g}"
    return [f"{entry.kbps:.3g}" if entry.kbps > 0 else "", made.khz, made.causality, latency, rtf]


def weights(entry: Entry) -> tuple[str, str]:
    """(millions of parameters, licence of the weights)."""
    size = entry.design.params_m
    return ("" if size is None else f"{size:.3g}"), entry.design.licence


def score(entry: Entry, name: str, column: Column) -> tuple[str, str]:
    """(value, ± half of its interval) of one telling column."""
    cell = entry.cells.get(name)
    return ("–", "") if cell is None else (number(cell.value, column), half_width(cell.low, cell.high, column))
