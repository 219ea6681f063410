"""Alarms of a table, counted: the marks beside its systems, from rows that are read in parts.

`bench.validity.alarms` tells every alarm of every utterance, which a table of a million utterances has no use for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.stats.items import KEY, Items
from bench.stats.parts import Part
from bench.stats.scores import failing, of_columns
from bench.validity.alarms import ALARMS, HASHES, envelope_limit, of_pairs

if TYPE_CHECKING:
    import pandas as pd

HELD = 1 << 26
"""Bytes of values in memory at a time."""
_BLOCK = 1 << 16
"""Utterances that are looked at together."""
_NONE = np.uint64(0)


def tally(part: Part, items: Items, condition: str) -> list[tuple[str, str, int, int]]:
    """(mark, meaning, utterances that raise the alarm, all utterances) of a system, where they are enough for the mark."""
    counts: dict[str, int] = {}
    limit = envelope_limit(condition)
    total = np.zeros(len(items), bool)
    for wide, there in _wide(part, items):
        for kind, (hit, _) in of_pairs(wide, np.full(len(wide), limit)).items():
            counts[kind] = counts.get(kind, 0) + int(hit.sum())
        total |= there
    counts["identical"] = _alike(part, items)
    kinds = part.kinds
    counts["hidden"] += int(kinds.loc[(kinds["column"] == "fresh_db") & (kinds["failure"] != ""), "count"].sum())
    n = int(total.sum())
    order = dict.fromkeys([*(kind for kind in counts if kind != "hidden"), "hidden"])
    return [
        (ALARMS[kind].mark, ALARMS[kind].meaning, counts[kind], n)
        for kind in order if counts[kind] and counts[kind] >= ALARMS[kind].share * n
    ]  # fmt: skip


def _wide(part: Part, items: Items) -> Iterator[tuple[pd.DataFrame, NDArray[np.bool_]]]:
    """Values of a system [utterances, columns], some utterances at a time, and which items it has rows of [n].

    A ratio counts as its own quotient.
    """
    import pandas as pd

    names = list(dict.fromkeys(part.kinds["column"]))
    most = max(_BLOCK, HELD // (8 * max(len(names), 1)))
    for start in range(0, len(items), most):
        stop = min(start + most, len(items))
        values = np.full((stop - start, len(names)), np.nan)
        there = np.zeros(len(items), bool)
        for rows in part.slices((*KEY, "column", "value", "num", "den")):
            rows, column = of_columns(rows, names)
            place = items.places(rows)
            there[place] = True
            value, top, bottom = (rows[name].to_numpy() for name in ("value", "num", "den"))
            with np.errstate(divide="ignore", invalid="ignore"):
                value = np.where(np.isnan(bottom), value, np.where(bottom > 0, top / bottom, np.nan))
            here = (place >= start) & (place < stop)
            values[place[here] - start, column[here]] = value[here]
        for at in range(0, stop - start, _BLOCK):
            yield pd.DataFrame(values[at : at + _BLOCK], columns=names), there


def _alike(part: Part, items: Items) -> int:
    """How many items of a system have codes or a decoded wave that another one shares whose input was another one."""
    hashes = _hashes(part, items)
    given = hashes["input"]
    own = np.arange(len(items)) if items.utterance is None else items.utterance
    given = np.where(given == _NONE, own.astype(np.uint64) + np.uint64(1), given)
    alike = np.zeros(len(items), bool)
    for name in ("codes", "wave"):
        known = np.flatnonzero(hashes[name] != _NONE)
        order = known[np.argsort(hashes[name][known], kind="stable")]
        if not len(order):
            continue
        starts = np.flatnonzero(np.diff(hashes[name][order], prepend=hashes[name][order[0]] + np.uint64(1)))
        several = np.minimum.reduceat(given[order], starts) != np.maximum.reduceat(given[order], starts)
        alike[order[np.repeat(several, np.diff(starts, append=len(order)))]] = True
    return int(alike.sum())


def _hashes(part: Part, items: Items) -> dict[str, NDArray[np.uint64]]:
    """64 bits of the hash that each item has in the columns HASHES [n]; 0 where it has none."""
    import pandas as pd
    import pyarrow as pa

    out = {name: np.zeros(len(items), np.uint64) for name in HASHES}
    if not set(part.kinds["column"]) & set(HASHES):
        return out
    for rows in part.slices((*KEY, "column", "failure", "detail")):
        rows = rows.filter(pa.array(~failing(rows)))
        rows, column = of_columns(rows, HASHES)
        if not len(rows):
            continue
        detail = rows["detail"].combine_chunks()
        texts = detail.dictionary.to_numpy(zero_copy_only=False).astype(object)
        short = np.append(np.where(texts == "", _NONE, pd.util.hash_array(texts, categorize=False)), _NONE)
        found = short[detail.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)]
        place = items.places(rows)
        for k, name in enumerate(HASHES):
            out[name][place[column == k]] = found[column == k]
    return out


def marks_of(parts: Sequence[Part], items: Items, condition: str) -> list[list[tuple[str, str]]]:
    """Of each system its marks, each with its meaning and counts."""
    return [
        [(mark, f"{meaning} ({count} of {total})") for mark, meaning, count, total in tally(part, items, condition)]
        for part in parts
    ]
