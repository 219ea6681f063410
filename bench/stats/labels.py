"""How systems are called, in tables, messages and on the command line. A label is put together here, and read here alone.

Rows hold each fact in a field of its own: codec, weights, role, variant. For people they become one label:
`focalcodec@50 (500 ms chunks) [nano]`, `lyra@6 (ceiling) [official]`, `reference@target`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, UnknownName

if TYPE_CHECKING:
    import pandas as pd

UNWEIGHTED = {"", "none"}
FIELDS = ("codec", "weights", "weights_sha256", "device_kind", "role", "variant")
CEILING, REFERENCE, UNTREATED = "ceiling", "reference", "untreated"
"""Roles of rows that no codec competes with: what a codec could reach at best, what is known without one, and what the codec
makes of poor speech by itself."""
_LABEL = re.compile(r"(?P<codec>.+?)(?: \((?P<variant>[^()]+)\))?(?: \[(?P<tags>[^\[\]]*)\])?")


def called(codec: str, role: str = "", variant: str = "") -> str:
    """What a system is called, its weights apart: `opus@6 (random loss 5 %)`, `opus@6 (ceiling)`, `reference@target`."""
    if role == REFERENCE and variant:
        return f"{role}@{variant}"
    told = variant or (role if role in (CEILING, UNTREATED) else "")
    return f"{codec} ({told})" if told else codec


def name_of(label: str) -> str:
    """`focalcodec@50 (500 ms chunks)` of `focalcodec@50 (500 ms chunks) [nano]`."""
    return label.partition(" [")[0]


def tags_of(label: str) -> str:
    """`nano 543250b0, cuda` of `focalcodec@50 [nano 543250b0, cuda]`; empty where there are none."""
    return label.partition(" [")[2].removesuffix("]")


def codec_of(label: str) -> str:
    """`focalcodec@50` of `focalcodec@50 (500 ms chunks) [nano]`."""
    return _read(label)[0]


def variant_of(label: str) -> str:
    """`500 ms chunks` of `focalcodec@50 (500 ms chunks) [nano]`; empty where there is none."""
    return _read(label)[1]


def _read(label: str) -> tuple[str, str]:
    found = _LABEL.fullmatch(label)
    return (found["codec"], found["variant"] or "") if found else (name_of(label), "")


def system_labels(rows: pd.DataFrame) -> pd.Series[Any]:
    """Label of each row's system: `focalcodec@50 [nano]`; `opus@6` for codecs without weights.

    What would share a label is told apart by what differs: the start of the sha256 (two official revisions, two folders
    of decoded audio), the kind of device, the role: `focalcodec@50 [nano 543250b0, cuda]`, `opus@6 [cpu]`.
    """
    import pandas as pd

    if rows.empty:
        return pd.Series([], index=rows.index, dtype=object)
    code = np.zeros(len(rows), dtype=np.int64)
    texts = []
    for name in FIELDS:
        codes, text = _text(rows, name)
        code = code * len(text) + codes
        texts.append((codes, text))
    place, distinct = pd.factorize(code)
    first = np.zeros(len(distinct), dtype=np.intp)
    first[place[::-1]] = np.arange(len(rows))[::-1]
    systems = [tuple(text[codes[row]] for codes, text in texts) for row in first]
    return pd.Series(np.array(_labels(systems), dtype=object)[place], index=rows.index)


def _text(rows: pd.DataFrame, name: str) -> tuple[NDArray[np.intp], list[str]]:
    """A field of the rows as codes [n] and the texts that they stand for; what is missing is ""."""
    import pandas as pd

    if name == "device_kind" and name not in rows:
        name = "device"
    if name not in rows:
        return np.zeros(len(rows), dtype=np.intp), [""]
    column = rows[name]
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    text = [
        "" if value is None else str(value).split(":")[0] if name == "device" else str(value)
        for value in (*column.cat.categories, "")
    ]
    known: dict[str, int] = {}
    places = np.array([known.setdefault(word, len(known)) for word in text], dtype=np.intp)
    # a missing value has the code -1: the last text, ""
    return places[column.cat.codes.to_numpy()], list(known)


def _labels(distinct: Sequence[tuple[str, ...]]) -> list[str]:
    """Labels of systems, each given by its FIELDS."""
    base = [called(codec, role, variant) for codec, _, _, _, role, variant in distinct]
    alike: dict[tuple[str, str], list[int]] = {}
    for place, (name, one) in enumerate(zip(base, distinct, strict=True)):
        alike.setdefault((name, one[1]), []).append(place)
    out = list(base)
    for (name, weights), places in alike.items():
        several = {field: len({distinct[place][field] for place in places}) > 1 for field in (2, 3, 4)}
        for place in places:
            _, _, sha, device, role, _ = distinct[place]
            kind = "" if weights in UNWEIGHTED else weights
            tag = " ".join(part for part in (kind, sha[:8] if several[2] else "") if part)
            tags = [tag, device if several[3] else "", role if several[4] else ""]
            told = ", ".join(part for part in tags if part)
            out[place] = f"{name} [{told}]" if told else name
    return out


def find_system(labels: Sequence[str], wanted: str) -> str:
    """The label that `wanted` means: the full label, or the codec alone where only one of its systems is there.

    Raises UnknownName with the nearest labels, and BenchError where several could be meant.
    """
    if wanted in labels:
        return wanted
    matches = sorted({label for label in labels if name_of(label) == wanted})
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise BenchError(f"'{wanted}' is several systems here; say which: {', '.join(repr(m) for m in matches)}")
    raise UnknownName("codec in these rows", wanted, set(labels))
