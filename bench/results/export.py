"""Leaderboards and comparisons in the forms that other programs read: csv, json, latex, html, markdown; and leaderboards in
those of the Hugging Face hub (`bench.results.hub`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.errors import UnknownName
from bench.metrics import Column
from bench.results import hub, publish
from bench.results.current import Rows, opened
from bench.stats.labels import system_labels

if TYPE_CHECKING:
    import pandas as pd

    from bench.stats.parts import Part

FORMATS = ("text", "csv", "json", "latex", "html", "markdown")
HUB_FORMATS = ("model-index", "board")
"""Of the Hugging Face hub: for a model's card, and for leaderboard Spaces."""


def check(format: str, known: Sequence[str] = FORMATS) -> str:
    """`format`, or UnknownName with the nearest ones."""
    if format not in known:
        raise UnknownName("format", format, known)
    return format


def leaderboard(rows: pd.DataFrame | Rows, known: Mapping[str, Column], format: str, width: int = 160) -> str:
    """The leaderboard of `rows`. csv and json have a line for each system and column, with everything a cell knows; latex and
    html are the table itself. Raises UnknownName."""
    from bench.report import leaderboard as board

    check(format, (*FORMATS, *HUB_FORMATS))
    if format in HUB_FORMATS:
        return hub_form([rows], known, format)
    if format == "text":
        return publish.terminal(opened(rows), known, width)
    every = opened(rows)
    if format == "markdown":
        text = board.markdown(every.parts, known, reported=publish.reported(every.kinds))
        return text + "".join(f"\n> {line}\n" for line in every.stale)
    return _written(cells(every.parts, known) if format in ("csv", "json") else shown(every.parts, known), format)


def comparison(table: pd.DataFrame, known: Mapping[str, Column], format: str) -> str:
    """What `bench.report.compare.compare` found. Raises UnknownName."""
    from bench.report import compare

    views: dict[str, Callable[[pd.DataFrame, Mapping[str, Column]], str]] = {
        "text": compare.terminal, "markdown": compare.markdown,
    }  # fmt: skip
    return views[format](table, known) if check(format) in views else _written(table, format)


def hub_form(tables: Sequence[pd.DataFrame | Rows], known: Mapping[str, Column], format: str) -> str:
    """Several tables' rows in one of HUB_FORMATS: each system with all of its results."""
    from bench.report.summary import summaries

    every = [opened(rows) for rows in tables]
    found = [summary for rows in every for summary in summaries(rows.parts, known)]
    if format == "model-index":
        return hub.model_index(found, known)
    digests: dict[str, str] = {}
    for rows in every:
        digests |= dict(zip(system_labels(rows.kinds), rows.kinds["weights_sha256"].astype(str), strict=True))
    return hub.board(found, known, {system: digest for system, digest in digests.items() if digest not in ("none", "nan", "")})


def bands(rows: pd.DataFrame | Rows, known: Mapping[str, Column], format: str, width: int = 140) -> str:
    """The best codecs of each band of the bit rate. Raises UnknownName."""
    import pandas as pd

    from bench.report import bands
    from bench.report.summary import summaries

    check(format)
    found = summaries(opened(rows).parts, known)
    if format == "text":
        return "\n".join(bands.terminal(summary, known, width) for summary in found)
    if format == "markdown":
        return "\n".join(f"## {bands.title(summary)}\n\n{bands.markdown(summary, known)}" for summary in found)
    return _written(pd.DataFrame([record for summary in found for record in bands.records(summary, known)]), format)


def cells(rows: Sequence[Part], known: Mapping[str, Column]) -> pd.DataFrame:
    """One line for each system and column: value and 95 % interval in the column's own unit, n, failures, whether best."""
    import pandas as pd

    from bench.report.columns import column_of
    from bench.report.summary import summaries

    lines = []
    for summary in summaries(rows, known):
        group = summary.group
        where = {"task": group.task, "dataset": group.dataset, "condition": group.condition, "partial": summary.partial,
                 "synthetic": summary.synthetic}  # fmt: skip
        for system in summary.systems:
            for name in summary.columns:
                cell = summary.cells.get((system, name))
                if cell is None or name not in known:
                    continue
                column = column_of(name, known)
                lines.append({
                    **where, "system": system, "kbps": summary.kbps(system), "column": name, "title": column.title,
                    "unit": column.unit, "better": column.better, "scale": column.scale, "value": cell.value, "low": cell.low,
                    "high": cell.high, "n": cell.n, "failed": cell.failed, "best": cell.best,
                })  # fmt: skip
    return pd.DataFrame(lines)


def shown(rows: Sequence[Part], known: Mapping[str, Column]) -> pd.DataFrame:
    """The table as it is read: a line for each system, `mean ± half of the interval` in each column, n in the last."""
    import pandas as pd

    from bench.report.columns import column_of, half_width, heading, number, score_names
    from bench.report.summary import summaries

    lines = []
    for summary in summaries(rows, known):
        names = score_names(summary.columns, known)
        for system in summary.systems:
            line: dict[str, str] = {"task": summary.group.task, "data": summary.group.dataset,
                                    "condition": summary.group.condition, "codec": system}  # fmt: skip
            rate = summary.kbps(system)
            line["kbps"] = f"{rate:.3g}" if rate == rate else ""
            for name in names:
                column, cell = column_of(name, known), summary.cells.get((system, name))
                told = cell is not None and cell.n > 0
                line[heading(column)] = (
                    f"{number(cell.value, column)} {half_width(cell.low, cell.high, column)}" if cell and told else "–"
                )
            found = [cell.n for name in names if (cell := summary.cells.get((system, name))) is not None]
            line["n"] = str(max(found, default=0))
            lines.append(line)
    return pd.DataFrame(lines).fillna("–")


def _written(table: pd.DataFrame, format: str) -> str:
    if format == "csv":
        return table.to_csv(index=False)
    if format == "json":
        return table.to_json(orient="records", force_ascii=False, indent=1) + "\n"
    if format == "html":
        return table.to_html(index=False, border=0) + "\n"
    return _latex(table)


def _latex(table: pd.DataFrame) -> str:
    """A booktabs table."""
    head = " & ".join(map(_escaped, table.columns))
    lines = [" & ".join(map(_escaped, row)) + r" \\" for row in table.itertuples(index=False)]
    aligned = "l" * 4 + "r" * (len(table.columns) - 4)
    return "\n".join([rf"\begin{{tabular}}{{{aligned}}}", r"\toprule", head + r" \\", r"\midrule", *lines, r"\bottomrule",
                      r"\end{tabular}", ""])  # fmt: skip


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--",
}  # fmt: skip


def _escaped(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return "".join(_LATEX.get(sign, sign) for sign in text)
