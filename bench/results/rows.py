"""From the store to rows: one row per utterance, system and column, with everything needed to reproduce it.

Rows are the only thing results are made of. `bench.results.schema` tells their fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import metrics
from bench.coding.codes import Codes
from bench.coding.usage import Usage
from bench.columns import CODING
from bench.engine.jobs import Due, output_key, output_keys
from bench.engine.keys import audio_sha256
from bench.engine.plan import Line, Plan
from bench.engine.schedule import Schedule
from bench.results.facts import Portable, base, engine_facts, metric_facts, system_facts, versions
from bench.results.schema import WHOLE_SET, typed, types
from bench.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SLICE = 256
"""Utterances whose records are in memory at a time."""


def frame(plan: Plan, store: Store, failures: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Rows of `plan` as a DataFrame with the fields of SCHEMA."""
    return typed(record for line in plan.lines for some in _slices(plan, line, store, failures) for record in some)


def slices(plan: Plan, line: Line, store: Store, failures: Mapping[str, tuple[str, str]]) -> Iterator[pa.Table]:
    """Rows of one line of `plan`, a few hundred utterances at a time."""
    import pyarrow as pa

    for some in _slices(plan, line, store, failures):
        yield pa.Table.from_pylist(some, schema=types())


def _slices(plan: Plan, line: Line, store: Store, failures: Mapping[str, tuple[str, str]]) -> Iterator[list[dict[str, Any]]]:
    schedule = Schedule(plan, store)
    about = {metric.name: metric_facts(metric, store, plan.networks_on) for metric in plan.metrics}
    everything = plan.dataset.utterances
    of_line = base(plan) | system_facts(line.system, store) | {"role": line.producer.role, "variant": line.variant}
    of_line["audio_sha256"] = audio_sha256(plan.dataset, store)
    portable = Portable(plan.dataset, line.system)
    usage = Usage()
    for at in range(0, len(everything), _SLICE):
        made: list[dict[str, Any]] = []
        keyed = schedule.keyed(line, everything[at : at + _SLICE])
        records = store.get_many(output_keys(line, [one.made for one in keyed]))
        scores = store.get_many([due.score for one in keyed for due in one.dues])
        for one in keyed:
            u, lost = one.item, failures.get(one.made, ("missing", "not in the store"))
            made_by = (f"producer:{line.producer.id}", *(("mixing",) if u.mix is not None else ()))
            row = of_line | {"utterance": u.id, "speaker": u.speaker, "language": u.language}
            row["definitions"] = versions(line.system, *made_by)
            seconds = {}
            for name in line.producer.outputs:
                record = records.get(output_key(one.made, name))
                seconds[name] = record["seconds"] if record else None
                if record and "codes" in record:
                    usage.add(Codes.from_bytes(record["codes"]))
                made += _engine_rows(row | {"output": name, "seconds": seconds[name]}, record, lost)
            for due in one.dues:
                row["definitions"] = versions(line.system, *made_by, "lengths", f"metric:{due.metric}")
                made += _score_rows(row | {"seconds": seconds[due.output]}, due, about, scores, failures, lost)
        yield [portable.row(one) for one in made]
    yield list(_usage_rows(of_line | {"definitions": versions(line.system, f"producer:{line.producer.id}", "usage")}, usage))


def note_needs(plan: Plan, store: Store, folder: Path) -> None:
    """Tell the store which of its entries the rows of `plan` in the table `folder` are made from."""
    schedule = Schedule(plan, store)
    begun: set[str] = set()
    everything = plan.dataset.utterances
    for line in plan.lines:
        name = f"{folder.resolve()}#{line.name}#{line.system.label}#{line.system.device.split(':')[0]}"
        for at in range(0, len(everything), _SLICE):
            keyed = schedule.keyed(line, everything[at : at + _SLICE])
            found = {"": output_keys(line, [one.made for one in keyed])}
            for due in (due for one in keyed for due in one.dues):
                found.setdefault(due.metric, []).extend(key for key in (due.score, due.reference, due.degraded) if key)
            for metric, keys in found.items():
                part = f"{name}#{metric}"
                store.need(part, keys, begin=part not in begun)
                begun.add(part)


def _score_rows(
    row: Mapping[str, Any], due: Due, about: Mapping[str, Mapping[str, Any]], scores: Mapping[str, Any],
    failures: Mapping[str, tuple[str, str]], lost: tuple[str, str],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Rows of one metric's columns for one utterance, output and recording that it is scored against."""
    names = [column.name for column in metrics.find(due.metric).columns]
    values = scores.get(due.score)
    if values is None:
        kind, detail = failures.get(due.score, lost)
        values = {name: {"failure": kind, "detail": detail} for name in names}
    of_metric = {**row, **about[due.metric], "output": due.output, "against": due.against}
    for name in names:
        yield of_metric | {"column": name + suffix(due.against, due.output)} | _value(values[name])


def suffix(against: str, output: str = "") -> str:
    """What is added to a column's name when it is not about the usual recording: "_to_source" and the like. An output that
    is called as a recording is its own (the two voices of a separation)."""
    return "" if against in ("", "target", output) else f"_to_{against}"


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"failure": value["failure"], "detail": value["detail"]}
    if isinstance(value, list):
        num, den = value
        return {"value": num / den if den else None, "num": num, "den": den}
    return {"value": value}


def _usage_rows(row: Mapping[str, Any], usage: Usage) -> Iterator[dict[str, Any]]:
    books = [asdict(book) | {"usage": book.usage, "entropy_of_used": book.entropy_of_used} for book in usage.codebooks()]
    of_set = dict(row) | engine_facts() | {"utterance": "(set)"}
    for column, value in usage.summary().items():
        yield of_set | {"speaker": WHOLE_SET, "language": "-", "column": column, "value": value, "detail": json.dumps(books)}


def _engine_rows(row: Mapping[str, Any], record: Mapping[str, Any] | None, lost: tuple[str, str]) -> Iterator[dict[str, Any]]:
    base = dict(row) | engine_facts()
    if record is None:
        for column in CODING:
            yield base | {"column": column, "failure": lost[0], "detail": lost[1]}
        return
    seconds = record["seconds"]
    yield base | {"column": "clipped", "value": record["clipped"]}
    yield base | {"column": "short_ms", "value": record["short_ms"]}
    if "convert_s" in record:
        spent = record["convert_s"]
        timed = {"value": spent / seconds, "num": spent, "den": seconds, "detail": record["method"]}
        yield base | {"column": "rtf_convert"} | timed
    yield base | {"column": "wave", "value": None, "detail": record["wave_sha256"]}
    if "input_sha256" in record:
        yield base | {"column": "input", "value": None, "detail": record["input_sha256"]}
    for name, value in record.get("odd", {}).items():
        yield base | {"column": name} | _value(value)
    for name, fact in record.get("facts", {}).items():
        yield base | {"column": name} | dict(fact)
    if "codes_sha256" not in record:
        return  # somebody else's decoded audio: neither bits nor times are known
    yield base | {"column": "codes", "value": None, "detail": record["codes_sha256"]}
    for name in ("nominal", "packed", "entropy"):
        bits = record[f"bits_{name}"]
        yield base | {"column": f"bitrate_{name}", "value": bits / seconds / 1000, "num": bits / 1000, "den": seconds}
    batch = record.get("batch", 1)
    for name in ("encode", "decode"):
        spent = record[f"{name}_s"]
        if batch == 1:
            yield base | {"column": f"rtf_{name}", "value": spent / seconds, "num": spent, "den": seconds}
        elif spent:
            # A share of a batch is no real-time factor.
            speed = {"value": seconds / spent, "num": seconds, "den": spent, "detail": f"batch of {batch}"}
            yield base | {"column": f"throughput_{name}"} | speed
