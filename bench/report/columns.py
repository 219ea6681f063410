"""How a column is shown: title, unit, arrow, decimals; which columns rank and which are facts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from bench.columns import every_column
from bench.metrics import Column
from bench.stats.labels import CEILING, REFERENCE, UNTREATED, codec_of

RATE_COLUMNS = ("bitrate_packed", "bitrate_nominal", "bitrate_entropy")
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
TOP_FAMILIES = frozenset({"original", "reference", "identity"})
"""Families that show a column's ceiling: first in the table, never the best codec."""
PROBE_REFERENCES = frozenset({"chance", "log-mel", "anchor"})
"""What a probe knows without a codec, and the anchor of a listening test."""


def competes(system: str, role: str) -> bool:
    """Whether a row can be the best of its column: not a reference, a codec's ceiling or its line
    without treatment, chance or a topline.

    system: its label. role: of its rows.
    """
    return role not in (CEILING, REFERENCE, UNTREATED) and family(system) not in TOP_FAMILIES | PROBE_REFERENCES


def family(system: str) -> str:
    """`focalcodec` of the label `focalcodec@50 (tandem 2) [nano]`, `identity` of `identity (8 kHz)`."""
    return codec_of(system).split("@")[0]


def column_of(name: str, columns: Mapping[str, Column]) -> Column:
    """The column's description; one that nobody described is shown as it is and never ranked."""
    return columns.get(name) or every_column().get(name) or Column(name, name, "", "neither")


def score_names(present: Iterable[str], columns: Mapping[str, Column]) -> list[str]:
    """Columns that rank codecs, in the order of `columns`."""
    there = set(present)
    return [name for name in columns if name in there and columns[name].role == "score"]


def fact_names(present: Iterable[str], columns: Mapping[str, Column]) -> list[str]:
    """Columns that are told beside the scores, in the order of the table of all columns."""
    there = set(present)
    known = [name for name in dict.fromkeys([*every_column(), *columns]) if name in there]
    return [name for name in known if column_of(name, columns).role == "fact"]


def margin_of(column: Column) -> float:
    """The column's margin; where it has none, half of its last printed digit, in the column's own unit."""
    return column.margin if column.margin is not None else 0.5 * 10.0**-column.decimals / column.scale


def heading(column: Column, arrow: bool = True) -> str:
    """Title with unit and direction: `dWER % ↓`."""
    parts = [column.title, column.unit, ARROWS[column.better] if arrow else ""]
    return " ".join(part for part in parts if part)


def number(value: float, column: Column) -> str:
    """A value in the column's display unit; a dash for what does not exist."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = f"{value * column.scale:.{column.decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def half_width(low: float, high: float, column: Column) -> str:
    """Half the interval, `±.004`; empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    text = f"{(high - low) / 2 * column.scale:.{column.decimals}f}"
    return "±" + (text[1:] if text.startswith("0.") else text)
