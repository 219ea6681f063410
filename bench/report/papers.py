"""What papers print, beside our numbers: in the cells of the table, and in a table of its own for columns that it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.columns import every_column
from bench.report.columns import column_of, heading
from bench.report.summary import Summary
from bench.report.text import code, markdown_table
from bench.stats.labels import name_of


@dataclass(frozen=True)
class Reported:
    """A number that a paper printed, in the column's display unit. data: what it was measured on."""

    value: float
    source: str
    data: str = ""

    @property
    def where(self) -> str:
        """Paper and data."""
        return f"{self.source} ({self.data})" if self.data else self.source


Papers = Mapping[tuple[str, str], Reported]
"""(codec, column) -> what its paper prints."""


def sources(summary: Summary, names: Iterable[str], reported: Papers, label: str) -> list[str]:
    """A line that says where the papers' numbers in the columns `names` are from; none without any."""
    codecs = {name_of(system) for system in summary.systems}
    shown = {entry.where for (codec, name), entry in reported.items() if codec in codecs and name in set(names)}
    return [f"{label}: the number its authors report, on their data: " + "; ".join(sorted(shown))] if shown else []


def besides(summary: Summary, names: Iterable[str], reported: Papers) -> str:
    """What papers print of the table's codecs in columns of ours other than `names`, as markdown; empty without any."""
    codecs = dict.fromkeys(name_of(system) for system in summary.systems)
    others = every_column().keys() - set(names)
    here = [(codec, name) for codec in codecs for of, name in reported if of == codec and name in others]
    if not here:
        return ""
    shown = list(dict.fromkeys(name for _, name in here))
    lines = []
    for codec in dict.fromkeys(codec for codec, _ in here):
        found = {name: reported[codec, name] for name in shown if (codec, name) in here}
        cells = [f"{found[name].value:.{column_of(name, {}).decimals}f}" if name in found else "–" for name in shown]
        lines.append([code(codec), *cells, "; ".join(dict.fromkeys(entry.where for entry in found.values()))])
    return markdown_table(["codec", *(heading(column_of(name, {})) for name in shown), "source"], lines)
