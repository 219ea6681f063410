"""A sample of the committed results, computed again: codes and waves bit for bit, scores within their margin.

The rows of results/resynthesis/embedded are the index: the embedded speech is always here, and each row says with which
weights its codec ran.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import adapters, cards, data, metrics
from bench.certify.outputs import difference, of_numbers
from bench.certify.recipes import margins
from bench.definitions import ADAPTER, METRIC, Definition
from bench.errors import BenchError
from bench.fetch import weights
from bench.results import files
from bench.speech import Utterance

if TYPE_CHECKING:
    import pandas as pd

SIZE = 3
"""Utterances a definition."""
WAVES_BY = ("adapter:ffmpeg", "adapter:codec2", "adapter:mulaw")
"""Whose waves metrics are tried on: they take no time, and are the same on every machine."""


def check(definition: Definition, table: Path, seed: int) -> tuple[int, str | None]:
    """(results computed again, the first difference or None)."""
    if not files.paths(table) or not definition.id.startswith((ADAPTER, METRIC)):
        return 0, None
    committed = _rows(table)
    draw = random.Random(f"{seed}/{definition.id}")
    if definition.id.startswith(ADAPTER):
        return _codec(definition.id.removeprefix(ADAPTER), committed, draw)
    return _metric(definition.id.removeprefix(METRIC), committed, draw)


@cache
def _rows(table: Path) -> pd.DataFrame:
    wanted = ["codec", "weights", "weights_sha256", "utterance", "column", "metric", "value", "num", "den", "failure", "detail"]
    found = files.read(table, wanted)
    return found.astype({name: "string" for name in wanted if name not in ("value", "num", "den")})


@cache
def _speech() -> Mapping[str, Utterance]:
    return {u.id: u for u in data.load("embedded")}


def _system(codec: str, label: str, digest: str) -> Any | None:
    """The codec with the weights that a row names; None where these are not here."""
    try:
        point = cards.resolve(codec)
        found = weights.resolve(point, label) if weights.available(point, label) else None
    except BenchError:
        return None
    if found is None or found.digest != digest:
        return None
    return adapters.load(point, found)


def _record(codec: Any, utterance: Utterance) -> dict[str, Any]:
    from bench.engine.clock import Clock
    from bench.engine.producers.resynthesis import transcode

    return transcode(codec, [utterance.read(codec.sample_rate)[0]], Clock("cpu"))[0]


def _codec(adapter: str, rows: pd.DataFrame, draw: random.Random) -> tuple[int, str | None]:
    mine = {point.name for point in cards.all_points() if point.adapter == adapter}
    some = rows[rows["codec"].isin(mine) & rows["column"].isin(["codes", "wave"]) & rows["detail"].notna()]
    groups = list(some.groupby(["codec", "weights", "weights_sha256"], observed=True))
    done = 0
    for (name, label, digest), group in draw.sample(groups, min(SIZE, len(groups))):
        codec = _system(str(name), str(label), str(digest))
        if codec is None:
            continue
        kept = group.pivot(index="utterance", columns="column", values="detail")
        for uid in draw.sample(sorted(set(kept.index) & set(_speech())), 1):
            record = _record(codec, _speech()[uid])
            done += 1
            for column, field in (("codes", "codes_sha256"), ("wave", "wave_sha256")):
                if column in kept and str(kept.at[uid, column]) != str(record.get(field)):
                    return done, f"{name} [{label}], utterance {uid}: {column} is not what the committed row tells"
    return done, None


def _metric(name: str, rows: pd.DataFrame, draw: random.Random) -> tuple[int, str | None]:
    metric = metrics.find(name)
    known = {point.name for point in cards.all_points() if ADAPTER + point.adapter in WAVES_BY}
    some = rows[(rows["metric"] == name) & rows["codec"].isin(known)]
    pairs = sorted(set(zip(some["codec"], some["utterance"], strict=True)))
    done = 0
    for codec, uid in draw.sample(pairs, min(SIZE, len(pairs))):
        utterance = _speech().get(str(uid))
        if utterance is None:
            continue
        mine = some[(some["codec"] == codec) & (some["utterance"] == uid)]
        was = of_numbers({str(row.column): _value(row) for row in mine.itertuples()})
        now = of_numbers(_scores(metric, _record(_system(str(codec), "none", "none"), utterance), utterance))
        done += 1
        told = difference(was, now, margins())
        if told:
            return done, f"{codec}, utterance {uid}: {told}"
    return done, None


def _value(row: Any) -> Any:
    import pandas as pd

    if not pd.isna(row.failure):
        return metrics.MetricFailure(str(row.failure))
    return metrics.Ratio(row.num, row.den) if not pd.isna(row.den) else float(row.value)


def _scores(metric: metrics.Metric, record: Mapping[str, Any], utterance: Utterance) -> Mapping[str, Any]:
    from bench.certify.recipes import scores
    from bench.engine import pairing

    whole = utterance.read_reference(metric.rate_hz)[0]
    sides = pairing.pair(whole, record, metric.rate_hz, pairing.ZEROS)
    signals = [metrics.Signal(wave, metric.rate_hz, utterance.text, utterance.language) for wave in sides]
    return scores(metric, *signals)
