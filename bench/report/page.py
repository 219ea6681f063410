"""One self-contained HTML page: leaderboards to sort and filter, plots to hover, pairs to compare, clips to hear.

Tables are DataTables (MIT), plots are Plotly's basic bundle (MIT); both lie in vendor/ and are written into the page, which
needs no network. Tables are plain HTML underneath, so that they can be read without scripts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.metrics import Column
from bench.report import bands, rate_distortion, wording
from bench.report import overview as first
from bench.report.columns import TOP_FAMILIES, column_of, family, half_width, heading, number, score_names
from bench.report.palette import Style, style
from bench.report.series import look_of, series
from bench.report.summary import Cell, Summary
from bench.stats import bootstrap
from bench.stats.resampling import Floats
from bench.stats.scores import Scores

VENDOR, TEMPLATES = (Path(__file__).with_name(name) for name in ("vendor", "templates"))
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross", "X": "x",
           "p": "pentagon", "h": "hexagon", "<": "triangle-left", ">": "triangle-right"}  # fmt: skip


def page(title: str, summaries: Sequence[Summary], columns: Mapping[str, Column], clips: str = "") -> str:
    """The page as HTML. Recorded speech goes first; clips: what `listening.embedded` made, or ""."""
    ordered = sorted(summaries, key=lambda summary: (summary.group.task != "resynthesis", summary.synthetic))
    links = "".join(f'<li><a href="#t{i}">{escape(_title(summary))}</a></li>' for i, summary in enumerate(ordered))
    links += '<li><a href="#listen">Listening</a></li>' if clips else ""
    body = "".join(_section(i, summary, columns) for i, summary in enumerate(ordered))
    heard = f'<section id="listen"><h2>Listening</h2>{clips}</section>' if clips else ""
    parts = {"title": escape(title), "links": links, "body": body + heard, "style": _template("page.css"),
             "script": _template("page.js")}  # fmt: skip
    for name in ("dataTables.dataTables.min.css", "plotly-basic.min.js", "dataTables.min.js", "dataTables.dataTables.min.js"):
        # "</" would end the element that it stands in
        parts[name] = (VENDOR / name).read_text(encoding="utf-8").replace("</script", "<\\/script")
    return _fill(_template("page.html"), parts)


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _fill(template: str, parts: Mapping[str, str]) -> str:
    pieces = template.split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _title(summary: Summary) -> str:
    kind = "synthetic speech" if summary.synthetic else "recorded speech"
    return f"{summary.group.task}: {summary.group.dataset}, {summary.group.condition or 'clean'} ({kind})"


def _section(i: int, summary: Summary, columns: Mapping[str, Column]) -> str:
    names = score_names(summary.columns, columns)
    notes = "".join(f"<li>{escape(note)}</li>" for note in wording.notes(summary))
    header = "".join(f"<p>{escape(line)}</p>" for line in wording.header(summary))
    plot = [name for name in names if name not in summary.blind]
    rated = any(summary.kbps(system) > 0 for system in summary.systems)
    parts = [f'<section id="t{i}"><h2>{escape(_title(summary))}</h2>{header}', _table(i, summary, names, columns)]
    parts.append(_bands(i, summary, columns))
    if rated and plot:
        figures = {column_of(name, columns).name: _figure(summary, column_of(name, columns)) for name in plot}
        options = "".join(f'<option value="{escape(name)}">{escape(heading(column_of(name, columns)))}</option>' for name in plot)
        parts.append(
            f'<h3>Rate and distortion</h3><label>score <select class="pick" data-for="p{i}">{options}</select></label>'
            f'<div class="plot" id="p{i}" role="img" aria-label="{escape(heading(column_of(plot[0], columns)))} '
            f'over bit rate; the table above has the numbers"></div><script type="application/json" id="p{i}-data">'
            f"{_json(figures)}</script>"
        )
    if summary.scores is not None and len(summary.systems) > 1:
        parts.append(_pairs(i, summary, plot, columns))
    return "".join(parts) + f"<details><summary>How to read this table</summary><ul>{notes}</ul></details></section>"


def _table(i: int, summary: Summary, names: Sequence[str], columns: Mapping[str, Column]) -> str:
    made = first.overview(summary, columns)
    entries = {entry.system: entry for entry in made.entries} if made else {}
    facts = first.FACTS_HEAD if made else ()
    head = ["codec", *facts, *(heading(column_of(name, columns)) for name in names), "n"]
    if made:
        head += ["parameters M", "licence"]
    ends = {name: _range(summary, name) for name in names}
    lines = []
    for system in summary.systems:
        look, marks = style(system), summary.marks.get(system, ())
        entry = entries.get(system)
        letters = "".join(dict.fromkeys(mark for mark, _ in marks))
        told = escape("; ".join(f"{mark}: {meaning}" for mark, meaning in marks))
        sup = f'<sup title="{told}">{letters}</sup>' if letters else ""
        front = f' <span title="Pareto row">{first.PARETO}</span>' if entry and entry.pareto else ""
        swatch = f'<span class="swatch" style="background:{look.colour}"></span>'
        cells = [f'<th scope="row">{swatch}{escape(system)}{sup}{front}</th>']
        known = first.facts(entry) if entry else [""] * len(facts)
        cells += [f"<td>{escape(text)}</td>" for text in known]
        cells += [_cell(summary.cells.get((system, name)), column_of(name, columns), ends[name]) for name in names]
        cells.append(f"<td>{_count(summary, system, names)}</td>")
        if made:
            cells += [f"<td>{escape(text)}</td>" for text in (first.weights(entry) if entry else ("", ""))]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="table of {escape(_title(summary))}"><table class="board" '
        f'id="b{i}"><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _bands(i: int, summary: Summary, columns: Mapping[str, Column]) -> str:
    """The best of each score within bands of the bit rate; empty where fewer than two bands hold a codec."""
    found = bands.winners(summary, columns)
    if len(found) < 2:
        return ""
    names = rate_distortion.drawn_columns(summary, columns)
    heads = "".join(
        f'<th scope="col">{escape(text)}</th>' for text in (*bands.HEAD, *(heading(column_of(n, columns)) for n in names))
    )
    lines = []
    for won in found:
        cells = [f'<th scope="row">{won.band.title}</th><td>{len(won.systems)}</td>']
        for name in names:
            told = [_won(summary, system, name, columns) for system in won.best.get(name, ())]
            cells.append(f'<td class="won">{"".join(told) or "–"}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<h3>Best by bit rate</h3><div class="wide" role="region" tabindex="0" aria-label="best by bit rate, '
        f'{escape(_title(summary))}"><table class="bands" id="w{i}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        f"<p><small>{escape(bands.NOTE)}</small></p>"
    )


def _won(summary: Summary, system: str, name: str, columns: Mapping[str, Column]) -> str:
    cell, column = summary.cells[system, name], column_of(name, columns)
    spread = half_width(cell.low, cell.high, column)
    swatch = f'<span class="swatch" style="background:{style(system).colour}"></span>'
    return f"<div>{swatch}{escape(system)} <b>{number(cell.value, column)}</b> <small>{spread}</small></div>"


def _count(summary: Summary, system: str, names: Sequence[str]) -> str:
    cells = [cell for name in names if (cell := summary.cells.get((system, name)))]
    failed = summary.failed(system, names)
    return f"{max((cell.n for cell in cells), default=0)}" + (f", {failed} failed" if failed else "")


def _range(summary: Summary, name: str) -> tuple[float, float]:
    values = [
        x
        for (_, column), cell in summary.cells.items()
        if column == name
        for x in (cell.low, cell.high, cell.value)
        if math.isfinite(x)
    ]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _cell(cell: Cell | None, column: Column, ends: tuple[float, float]) -> str:
    if cell is None or not math.isfinite(cell.value):
        return "<td>–</td>"
    value, spread = number(cell.value, column), half_width(cell.low, cell.high, column)
    failed = ", ".join(f"{count} {kind}" for kind, count in sorted(cell.failures.items())) or "none"
    interval = f"[{number(cell.low, column)}, {number(cell.high, column)}]"
    told = f"{column.title} {value}, 95 % interval {interval}, n {cell.n}, failures: {failed}"
    low, high = ends
    span = (high - low) or 1.0
    left, right = ((x if math.isfinite(x) else cell.value) - low for x in (cell.low, cell.high))
    bar = (
        f'<span class="track"><span class="bar" style="left:{100 * left / span:.1f}%;'
        f'width:{max(1.0, 100 * (right - left) / span):.1f}%"></span></span>'
    )
    shown = f"<b>{value}</b>" if cell.best else value
    return f'<td data-order="{cell.value:.6g}" title="{escape(told)}">{shown} <small>{spread}</small>{bar}</td>'


def _figure(summary: Summary, column: Column) -> dict[str, Any]:
    """Traces and layout of Plotly: score with interval over measured bit rate, a line for each series."""
    found: dict[str, list[tuple[float, str, Cell]]] = {}
    for system in summary.systems:
        cell, rate = summary.cells.get((system, column.name)), summary.kbps(system)
        if cell is None or not cell.n or not rate > 0 or family(system) in first.FLOOR_FAMILIES | TOP_FAMILIES:
            continue
        found.setdefault(series(system), []).append((rate, system, cell))
    traces = [_trace(name, sorted(points, key=lambda point: point[0]), column) for name, points in found.items()]
    shapes = []
    for system in summary.systems:
        cell = summary.cells.get((system, column.name))
        if family(system) in TOP_FAMILIES and cell is not None and cell.n:
            y = round(cell.value * column.scale, 5)
            shapes.append(
                {
                    "type": "line",
                    "xref": "paper",
                    "x0": 0,
                    "x1": 1,
                    "y0": y,
                    "y1": y,
                    "line": {"dash": "dash", "width": 1, "color": "#555"},
                }
            )
    layout = {
        "xaxis": {"type": "log", "title": {"text": "measured bit rate, kbit/s (log)"}, "dtick": "D2"},
        "yaxis": {"title": {"text": heading(column)}},
        "shapes": shapes,
        "hovermode": "closest",
        "margin": {"l": 60, "r": 10, "t": 10, "b": 50},
        "legend": {"font": {"size": 11}},
    }
    return {"data": traces, "layout": layout}


def _trace(name: str, points: Sequence[tuple[float, str, Cell]], column: Column) -> dict[str, Any]:
    look: Style = style(points[0][1])
    symbol = SYMBOLS[look.marker] + ("-open" if look.hollow else "")
    scale = column.scale

    def reach(a: float, b: float) -> float:
        return round(max(0.0, a - b) * scale, 5) if math.isfinite(a - b) else 0.0

    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "legendgroup": look_of(points[0][1]),
        "x": [round(rate, 4) for rate, _, _ in points], "y": [round(cell.value * scale, 5) for _, _, cell in points],
        "error_y": {"type": "data", "symmetric": False, "array": [reach(c.high, c.value) for _, _, c in points],
                    "arrayminus": [reach(c.value, c.low) for _, _, c in points], "thickness": 1, "width": 2},
        "marker": {"symbol": symbol, "size": 9, "color": look.colour},
        "line": {"color": look.colour, "dash": "dash" if look.hollow else "solid", "width": 1.5},
        "text": [f"{escape(system)}<br>n {cell.n}, {cell.failed} failed" for _, system, cell in points],
        "hovertemplate": "%{text}<br>%{x} kbps: %{y}<extra></extra>",
    }  # fmt: skip


def _pairs(i: int, summary: Summary, names: Sequence[str], columns: Mapping[str, Column]) -> str:
    """The compare view: two lists of systems, and the paired differences of all pairs."""
    data = summary.scores
    assert data is not None
    names = [name for name in names if name in data.columns]
    at = [data.columns.index(name) for name in names]
    sample = data.pick(names).draws(summary.scheme, summary.draws, summary.seed)
    df = data.df(summary.scheme)
    told: dict[str, list[Any]] = {}
    for a in range(len(data.systems)):
        for b in range(a + 1, len(data.systems)):
            told[f"{a},{b}"] = [_difference(data, sample, a, b, c, k, column_of(names[k], columns), df) for k, c in enumerate(at)]
    heads = [heading(column_of(name, columns)) for name in names]
    ups = [column_of(name, columns).better == "higher" for name in names]
    options = [f'<option value="{data.systems.index(system)}">{escape(system)}</option>' for system in summary.systems]
    at_first = [k for k, system in enumerate(summary.systems) if family(system) not in TOP_FAMILIES][:2]
    choices = [
        "".join(option.replace("<option", "<option selected", 1) if k == one else option for k, option in enumerate(options))
        for one in (at_first if len(at_first) == 2 else (0, 1))
    ]
    body = _json({"systems": list(data.systems), "heads": heads, "ups": ups, "pairs": told,
                  "values": [[number(float(data.estimates[s, c]), column_of(names[k], columns)) for k, c in enumerate(at)]
                             for s in range(len(data.systems))]})  # fmt: skip
    return (
        f'<h3>Compare two</h3><div class="compare" data-for="c{i}"><label>A <select>{choices[0]}</select></label> '
        f'<label>B <select>{choices[1]}</select></label><div class="out" aria-live="polite"></div></div>'
        f'<script type="application/json" id="c{i}">{body}</script>'
    )


def _difference(data: Scores, sample: Floats, a: int, b: int, c: int, k: int, column: Column, df: int) -> Any:
    """[B - A, low, high] in the column's display unit; None where the two did not score the same utterances."""
    if not data.alike(a, b, c):
        return None
    gap = float(data.estimates[b, c] - data.estimates[a, c])
    low, high = bootstrap.bounds(gap, sample[:, b, k] - sample[:, a, k], 0.95, "expanded", df)
    if not all(map(math.isfinite, (gap, low, high))):
        return None
    return [round(x * column.scale, column.decimals + 1) for x in (gap, low, high)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
