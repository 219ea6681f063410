"""A table of as many utterances as one likes, and what it costs to publish it: run as `rows_of_many.py FOLDER UTTERANCES`.

Two systems, four columns of scores and facts, hashes of waves, and a failure here and there that only one of them has.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.columns import every_column
from bench.results import current, merge, publish
from bench.results.schema import SCHEMA, types

SPEAKERS = 500
COLUMNS = ("stoi", "pesq_wb", "bitrate_packed", "gain_db", "wave")
_SLICE = 4096


def slices(codec: str, count: int, shift: float) -> Iterator[pa.Table]:
    """Rows of one system, some thousand utterances at a time."""
    fixed = {"task": "resynthesis", "profile": "embedded", "dataset": "many", "dataset_sha256": "aa", "audio_sha256": "bb",
             "condition": "clean", "codec": codec, "weights": "none", "weights_sha256": "none", "system_key": "key",
             "role": "resynthesis", "variant": "", "output": "", "against": "", "settings": merge.card_settings(codec) or "{}",
             "device": "cpu", "device_kind": "cpu", "language": "en", "metric_version": "1", "metric_key": "m", "commit": "c",
             "definitions": "{}", "code_version": "v", "packages": "{}"}  # fmt: skip
    rng = np.random.default_rng(0)
    for start in range(0, count, _SLICE):
        n = min(_SLICE, count - start)
        k, at = len(COLUMNS), np.repeat(np.arange(start, start + n), len(COLUMNS))
        column = np.tile(np.arange(k), n)
        score = np.tile(rng.normal(0.8, 0.05, n), (k, 1)).T.ravel() + shift
        lost = (column < 2) & (at % 1000 == (0 if shift else 1))
        value = np.where(column == 2, 6.0, np.where(column == 3, 0.1, score))
        value = np.where(lost | (column == 4), np.nan, value)
        detail = [f"{codec}-{u:09d}" if c == 4 else None for u, c in zip(at, column, strict=True)]
        made: dict[str, pa.Array] = {
            **{name: pa.repeat(pa.scalar(text), n * k) for name, text in fixed.items()},
            "partial": pa.repeat(pa.scalar(False), n * k), "synthetic": pa.repeat(pa.scalar(True), n * k),
            "threads": pa.repeat(pa.scalar(1), n * k), "seed": pa.repeat(pa.scalar(0), n * k),
            "utterance": pa.array([f"u{u:09d}" for u in at]), "speaker": pa.array([f"s{u % SPEAKERS:03d}" for u in at]),
            "seconds": pa.repeat(pa.scalar(3.0), n * k), "column": pa.array([COLUMNS[c] for c in column]),
            "metric": pa.array(["engine" if c > 1 else COLUMNS[c] for c in column]),
            "value": pa.array(value, from_pandas=True),
            "num": pa.nulls(n * k, pa.float64()), "den": pa.nulls(n * k, pa.float64()),
            "failure": pa.array([("silence" if one else None) for one in lost], pa.string()),
            "detail": pa.array(detail, pa.string()),
        }  # fmt: skip
        yield pa.table({name: made[name] for name in SCHEMA}).cast(types())


def main(folder: Path, count: int) -> None:
    """Write the rows, publish the table, print what that cost as JSON."""
    start = time.process_time()
    for codec, shift in (("opus@6", 0.0), ("codec2@1200", -0.1)):
        merge.renew(folder, slices(codec, count, shift))
    written = time.process_time()
    known = {name: every_column()[name] for name in COLUMNS[:3]}
    text, _ = publish.publish(current.read(folder), folder, known, plot=publish.NONE)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mib": peak, "rows_s": written - start, "table_s": time.process_time() - written, "table": text}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
