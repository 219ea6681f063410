"""Leaderboards: one table per task x data set x condition, as markdown for GitHub and as text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.metrics import Column
from bench.report import overview as first
from bench.report import papers, rate_distortion, wording
from bench.report.columns import column_of, fact_names, half_width, heading, number, score_names
from bench.report.overview import themes
from bench.report.papers import Papers
from bench.report.summary import DRAWS, Cell, Summary, summaries
from bench.report.text import clean, code, grid, markdown_table, markup
from bench.stats.labels import name_of
from bench.stats.parts import Part
from bench.stats.resampling import SEED

if TYPE_CHECKING:
    import pandas as pd

COLUMNS_PER_TABLE = 5
"""Scores beside one another: what a page of 1000 pixels shows without moving sideways."""
TERMINAL = 100
"""Columns of a terminal that the first table keeps within."""


def markdown(
    rows: pd.DataFrame | Sequence[Part],
    columns: Mapping[str, Column],
    reported: Papers | None = None,
    level: int = 2,
    draws: int = DRAWS,
    seed: int = SEED,
    made: Sequence[Summary] | None = None,
) -> str:
    """All tables of the rows as GitHub markdown.

    columns: name -> Column, in the order to show. reported: (codec, column) -> the paper's number, shown under ours.
    level: of the headings. made: the rows' summaries, where they are made already.
    """
    if not len(rows):
        return "No rows.\n"
    parts = [_markdown(summary, columns, reported or {}, level) for summary in made or summaries(rows, columns, draws, seed)]
    return "\n".join(parts)


def terminal(
    rows: pd.DataFrame | Sequence[Part],
    columns: Mapping[str, Column],
    reported: Papers | None = None,
    width: int = 120,
    color: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
    made: Sequence[Summary] | None = None,
) -> str:
    """All tables as plain text, cut into blocks of columns that fit `width`; color: ANSI bold for the best."""
    if not len(rows):
        return "No rows.\n"
    out = []
    for summary in made or summaries(rows, columns, draws, seed):
        out.append(clean(f"{summary.group.task} | {summary.group.dataset} | {summary.group.condition}"))
        out += wording.header(summary)
        out += _terminal_overview(summary, columns, width, color)
        names = score_names(summary.columns, columns)
        head = ["codec", "kbps", *(heading(column_of(name, columns)) for name in names), "n"]
        lines = [
            [
                system + _letters(summary, system, "^"),
                _kbps(summary, system),
                *(_plain(summary, system, name, columns, reported or {}, color) for name in names),
                _counts(summary, system, names),
            ]
            for system in summary.systems
        ]
        out += ["", grid(head, lines, width, keep=2)]
        out += [clean(line) for line in wording.failed(summary, names)]
        out += [
            "",
            *wording.how_to_read(summary, "bold" if color else "*", clean),
            *wording.agreed(summary, columns),
            *papers.sources(summary, names, reported or {}, "in brackets"),
        ]
    return "\n".join(out) + "\n"


def _markdown(
    summary: Summary,
    columns: Mapping[str, Column],
    reported: Papers,
    level: int,
) -> str:
    group = summary.group
    names = score_names(summary.columns, columns)
    out = [f"{'#' * level} {group.task} · {markup(group.dataset)} · {group.condition}", ""]
    told = wording.header(summary)
    out += [told[0], *(f"\n> **{line}**" for line in told[1:]), "", *_markdown_overview(summary, columns, level)]
    for title, block in _blocks(names):
        out += [f"{'#' * (level + 1)} {title}", ""] if title else []
        head = ["codec", "kbps", *(heading(column_of(name, columns)) for name in block), "n"]
        lines = [
            [
                _system(summary, system),
                _kbps(summary, system),
                *(_cell(summary, system, name, columns, reported) for name in block),
                _counts(summary, system, block),
            ]
            for system in summary.systems
        ]
        out += [markdown_table(head, lines), ""]
    under = (
        *wording.how_to_read(summary, "**bold**", markup),
        *wording.agreed(summary, columns),
        *papers.sources(summary, names, reported, "paper"),
    )
    out += [*("- " + note for note in under), ""]
    out += _details("What the authors report besides", papers.besides(summary, names, reported))
    out += _details("What the bits are worth", rate_distortion.footer(summary, columns))
    out += _details("Bit rates, speed, delay and level", _fact_table(summary, columns))
    out += _details("Intervals, counts and failures of every cell", _full_table(summary, names, columns))
    out += _details("Versions", "\n".join(f"- {name}: {value}" for name, value in summary.versions.items()))
    return "\n".join(out)


def _blocks(names: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """(theme, columns) of the tables of scores; where all fit one table, one without a theme."""
    if len(names) <= COLUMNS_PER_TABLE:
        return [("", names)]
    return [
        (title if at == 0 else f"{title}, continued", some[at : at + COLUMNS_PER_TABLE])
        for title, some in themes(names)
        for at in range(0, len(some), COLUMNS_PER_TABLE)
    ]


def _markdown_overview(summary: Summary, columns: Mapping[str, Column], level: int) -> list[str]:
    """The first table, and the one of the weights, as markdown; nothing where no rates were measured."""
    made = first.overview(summary, columns)
    if made is None:
        return []
    head = ["", "codec", *first.FACTS_HEAD, *(first.short_heading(column_of(name, columns)) for name in made.names)]
    lines, sizes = [], []
    for entry in made.entries:
        cells = [_cell(summary, entry.system, name, columns, {}) for name in made.names]
        lines.append([first.PARETO if entry.pareto else "", _system(summary, entry.system), *first.facts(entry), *cells])
        if any(first.weights(entry)):
            sizes.append([_system(summary, entry.system), *first.weights(entry)])
    out = [f"{'#' * (level + 1)} Which codec?", "", markdown_table(head, lines, left=2), "", f"- {first.NOTE}", ""]
    return (
        out + _details("Parameters and licences of the weights", markdown_table(["codec", "parameters M", "licence"], sizes))
        if sizes
        else out
    )


def _terminal_overview(summary: Summary, columns: Mapping[str, Column], width: int, color: bool) -> list[str]:
    made = first.overview(summary, columns)
    if made is None:
        return []
    head = ["codec", *first.FACTS_HEAD, *(first.short_heading(column_of(name, columns)) for name in made.names), "M", "licence"]
    lines = [
        [
            (f"{first.PARETO} " if entry.pareto else "  ") + entry.system + _letters(summary, entry.system, "^"),
            *first.facts(entry),
            *(_plain(summary, entry.system, name, columns, {}, color) for name in made.names),
            *first.weights(entry),
        ]
        for entry in made.entries
    ]
    return [
        "",
        grid(head, lines, min(width, TERMINAL) + 2, left=(0, len(head) - 1)),
        "",
        textwrap.fill(first.NOTE, min(width, TERMINAL)),
    ]


def _letters(summary: Summary, system: str, before: str) -> str:
    letters = "".join(dict.fromkeys(mark for mark, _ in summary.marks.get(system, ())))
    return before + letters if letters else ""


def _system(summary: Summary, system: str) -> str:
    letters = _letters(summary, system, "")
    mark = f" <sup>{letters}</sup>" if letters else ""
    return f"{code(system)}{mark}"


def _kbps(summary: Summary, system: str) -> str:
    rate = summary.kbps(system)
    return "" if math.isnan(rate) else f"{rate:.3g}"


def _counts(summary: Summary, system: str, names: Sequence[str]) -> str:
    cells = [cell for name in names if (cell := summary.cells.get((system, name)))]
    if not cells:
        return "–"
    low, high = min(cell.n for cell in cells), max(cell.n for cell in cells)
    failed = summary.failed(system, names)
    return (f"{low}" if low == high else f"{low}–{high}") + (f", {failed} failed" if failed else "")


def _cell(
    summary: Summary,
    system: str,
    name: str,
    columns: Mapping[str, Column],
    reported: Papers,
) -> str:
    cell, column = summary.cells.get((system, name)), column_of(name, columns)
    if cell is None:
        text = "–"
    else:
        value = number(cell.value, column)
        text = f"**{value}**" if cell.best else value
        spread = half_width(cell.low, cell.high, column)
        # a narrow no-break space keeps the cell on one line
        text += f"\u202f{spread}" if spread else ""
    paper = reported.get((name_of(system), name))
    return f"{text}<br><sub>paper {paper.value:.{column.decimals}f}</sub>" if paper else text


def _plain(
    summary: Summary,
    system: str,
    name: str,
    columns: Mapping[str, Column],
    reported: Papers,
    color: bool,
) -> str:
    cell, column = summary.cells.get((system, name)), column_of(name, columns)
    text = "–" if cell is None else f"{number(cell.value, column)} {half_width(cell.low, cell.high, column)}".strip()
    if cell is not None and cell.best:
        text = f"\x1b[1m{text}\x1b[0m" if color else f"*{text}"
    paper = reported.get((name_of(system), name))
    return f"{text} ({paper.value:.{column.decimals}f})" if paper else text


def _fact_table(summary: Summary, columns: Mapping[str, Column]) -> str:
    names = fact_names(summary.columns, columns)
    if not names:
        return ""
    head = ["codec", *(heading(column_of(name, columns), arrow=False) for name in names)]
    lines = [
        [
            code(system),
            *(
                number(cell.value, column_of(name, columns)) if (cell := summary.cells.get((system, name))) else "–"
                for name in names
            ),
        ]
        for system in summary.systems
    ]
    return markdown_table(head, lines)


def _full_table(summary: Summary, names: Sequence[str], columns: Mapping[str, Column]) -> str:
    lines = []
    for system in summary.systems:
        for name in names:
            cell = summary.cells.get((system, name))
            if cell is not None:
                column = column_of(name, columns)
                lines.append(
                    [
                        code(system),
                        heading(column),
                        number(cell.value, column),
                        _interval(cell, column),
                        str(cell.n),
                        _failures(cell),
                    ]
                )
    return markdown_table(["codec", "column", "value", "95 % interval", "n", "failures"], lines) if lines else ""


def _interval(cell: Cell, column: Column) -> str:
    return f"[{number(cell.low, column)}, {number(cell.high, column)}]"


def _failures(cell: Cell) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(cell.failures.items()))


def _details(title: str, body: str) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", body, "", "</details>", ""] if body else []
