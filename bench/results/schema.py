"""The fields of a row, and rows as pandas and Arrow hold them.

`SCHEMA` documents every field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA: Mapping[str, str] = {
    "task": "task name",
    "profile": "metric profile: embedded or paper:*",
    "dataset": "data set name",
    "dataset_sha256": "hash of the list of utterances",
    "audio_sha256": "hash of the audio of the whole list",
    "partial": "true when only a part of the data set was run (LIMIT)",
    "synthetic": "true when the speech is synthetic",
    "condition": "clean or noisy input",
    "codec": "family@point",
    "weights": "none, official, nano, random or path:hash",
    "weights_sha256": "digest of the weights; of audio decoded elsewhere, of its files",
    "system_key": "identity of codec, settings, weights, definitions and packages",
    "role": "what a row is: resynthesis, chunked, degraded, converted, enhanced, separated, untreated, ceiling, reference, probe",
    "variant": "how the system was used, where a task uses it in several ways: 500 ms chunks, random loss 5 %, decoded audio",
    "output": "which of the waves that were made, where there are several",
    "against": "the recording that the score refers to, where it is not the original",
    "settings": "settings of the operating point (JSON)",
    "device": "cpu, or the CUDA device",
    "device_kind": "cpu or cuda",
    "threads": "compute threads",
    "utterance": "utterance id",
    "speaker": "speaker id",
    "language": "language code",
    "seconds": "duration of the coded audio, s",
    "column": "column name",
    "metric": "metric that yields the column",
    "metric_version": "version of its definition",
    "metric_key": "identity of the metric: definition, its own weights and packages",
    "value": "score of this utterance; null on failure",
    "num": "numerator of a corpus-level rate",
    "den": "denominator of a corpus-level rate",
    "failure": "kind of failure, or null",
    "detail": "failure detail; for `codes` and `wave` their sha256; for a task's fact what it was found from",
    "commit": "commit of this repository; +dirty where files differed from it",
    "definitions": "versions of the definitions that the value depends on (JSON)",
    "code_version": "hash of the adapter's and its model's code",
    "packages": "versions of the packages involved (JSON); on a device, float32: how precisely its products are computed",
    "seed": "seed of random weights or noise",
}
"""Field -> meaning."""

NUMBERS = ("value", "num", "den", "seconds")
_KINDS: Mapping[str, str] = {"partial": "bool_", "synthetic": "bool_", "threads": "int64", "seed": "int64"}
META = b"bench"
"""Key of what a file says of itself."""
ROW_GROUP = 16_384
"""Rows that are written, or taken from one file into another, at a time."""
WHOLE_SET = "-"
"""Speaker of rows that belong to the set as a whole: code usage, a probe's parameters."""


def types() -> pa.Schema:
    """Arrow types of SCHEMA's fields."""
    import pyarrow as pa

    def kind(name: str) -> pa.DataType:
        return pa.float64() if name in NUMBERS else getattr(pa, _KINDS[name])() if name in _KINDS else pa.string()

    return pa.schema([pa.field(name, kind(name)) for name in SCHEMA])


def as_arrow(rows: pd.DataFrame | pa.Table) -> pa.Table:
    """Rows as an Arrow table of SCHEMA's plain types."""
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        return rows.select(list(SCHEMA)).cast(types())
    return pa.Table.from_pandas(rows[list(SCHEMA)], preserve_index=False).cast(types())


def typed(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Records with some of SCHEMA's fields -> a DataFrame with all of them, at their types."""
    import pandas as pd

    rows = pd.DataFrame.from_records(list(records), columns=list(SCHEMA))
    for name in rows.columns:
        if name in NUMBERS:
            rows[name] = rows[name].astype("float64")
        elif name not in ("partial", "synthetic", "threads", "seed"):
            rows[name] = rows[name].astype("string").astype("category")
    return rows


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several frames of rows as one."""
    import pandas as pd

    whole = pd.concat(frames, ignore_index=True)
    for name in whole.columns:
        if any(isinstance(frame[name].dtype, pd.CategoricalDtype) for frame in frames):
            whole[name] = whole[name].astype("string").astype("category")
    return whole


def split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows of utterances, rows of whole sets). Statistics are over utterances; the others are facts."""
    whole = rows["speaker"] == WHOLE_SET
    if not whole.any():
        return rows, rows.iloc[:0]
    parts = rows[~whole].copy(), rows[whole].copy()
    for part in parts:
        for name in part.columns:
            if hasattr(part[name], "cat"):
                part[name] = part[name].cat.remove_unused_categories()
    return parts
