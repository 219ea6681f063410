"""From the store to rows: one row per utterance, system and column, with everything needed to reproduce it.

Rows are the only thing results are made of. `SCHEMA` documents every field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import definitions, device, metrics, provenance
from bench.adapters.published import Published
from bench.coding.codes import Codes
from bench.coding.usage import Usage
from bench.columns import CODING
from bench.data import trees
from bench.engine.jobs import Due, output_key, output_keys
from bench.engine.keys import audio_sha256, engine_key, metric_key
from bench.engine.plan import Line, Plan
from bench.engine.schedule import Schedule
from bench.engine.systems import System
from bench.errors import UnknownName
from bench.metrics import Metric
from bench.speech import Dataset
from bench.store import Store, key_of

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
_SLICE = 256
"""Utterances whose records are in memory at a time."""
WHOLE_SET = "-"
"""Speaker of rows that belong to the set as a whole: code usage, a probe's parameters."""


def frame(plan: Plan, store: Store, failures: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Rows of `plan` as a DataFrame with the fields of SCHEMA."""
    return typed(record for line in plan.lines for some in _slices(plan, line, store, failures) for record in some)


def slices(plan: Plan, line: Line, store: Store, failures: Mapping[str, tuple[str, str]]) -> Iterator[pa.Table]:
    """Rows of one line of `plan`, a few hundred utterances at a time."""
    import pyarrow as pa

    from bench.results.files import schema

    for some in _slices(plan, line, store, failures):
        yield pa.Table.from_pylist(some, schema=schema())


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


def _slices(plan: Plan, line: Line, store: Store, failures: Mapping[str, tuple[str, str]]) -> Iterator[list[dict[str, Any]]]:
    schedule = Schedule(plan, store)
    about = {metric.name: _metric_facts(metric, store, plan.networks_on) for metric in plan.metrics}
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


def versions(system: System | None, *names: str) -> str:
    """Versions (JSON) of the definitions that a value depends on: those of the system's codec and those in `names`."""
    known = (system.key if system else "", *names)
    if known not in _versions:
        found = [*(definitions.of_system(system.point) if system else ()), *_known(names)]
        _versions[known] = json.dumps(definitions.versions(found), sort_keys=True)
    return _versions[known]


_versions: dict[tuple[str, ...], str] = {}


def _known(names: Iterable[str]) -> Iterator[definitions.Definition]:
    for name in names:
        try:
            yield definitions.get(name)
        except UnknownName:  # a producer of another package, whose version is in the key of its waves
            continue


class Portable:
    """Rows without the paths and user names of the machine that made them."""

    _PATH = re.compile(r"(?<![\w.])/(?:[^/\s:;,'\"]+/)+")

    def __init__(self, dataset: Dataset, system: System | None = None) -> None:
        folders = {path.parent for u in dataset for path in (u.path, u.reference) if path is not None}
        folders |= {dataset.root} if dataset.root else set()
        if system is not None and "path" in system.point.settings:
            folders.add(Path(system.point.settings["path"]))
        known = {str(path) for path in folders} | {str(path.resolve()) for path in folders}
        self._folders = sorted((name for name in known if name not in ("/", ".")), key=len, reverse=True)

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row, with names of folders cut from a failure's detail."""
        detail = row.get("detail")
        if row.get("failure") and detail and "/" in detail:
            for folder in self._folders:
                detail = detail.replace(f"{folder}/", "").replace(folder, Path(folder).name)
            row["detail"] = self._PATH.sub("", detail)
        return row


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


def base(plan: Plan) -> dict[str, Any]:
    """The fields of a row that are the run's."""
    return {
        "task": plan.task, "profile": plan.profile, "dataset": plan.dataset.name, "dataset_sha256": plan.dataset.sha256,
        "partial": plan.dataset.partial, "synthetic": plan.dataset.synthetic, "condition": plan.dataset.condition,
        "threads": 1, "commit": provenance.git_commit(), "definitions": "{}",
    }  # fmt: skip


def pseudo_facts(name: str) -> dict[str, Any]:
    """The fields of a reference row that no codec made: chance, a topline."""
    return {
        "codec": name, "weights": "none", "weights_sha256": "none", "system_key": name, "settings": "{}", "device": "cpu",
        "device_kind": "cpu", "role": "reference", "variant": "", "code_version": "", "packages": "{}", "seed": 0,
    }  # fmt: skip


def system_facts(system: System, store: Store) -> dict[str, Any]:
    """The fields of a row that are the system's."""
    packages = provenance.package_versions((*system.point.packages, "numpy", "soxr"))
    if not device.is_cpu(system.device):
        packages["float32"] = device.PRECISION
    settings, digest, key = dict(system.point.settings), system.weights.digest, system.key
    if system.point.adapter == "published":
        # Where the files lay is nobody's business; which files they were is.
        files = Published(Path(settings.pop("path")), system.point.sample_rate).files
        found = store.file_sha256(list(files.values()))
        digest = key = key_of("decoded", sorted((trees.stem(name), found[path]) for name, path in files.items()))
    return {
        "codec": system.name, "weights": system.weights.label, "weights_sha256": digest,
        "system_key": key, "settings": json.dumps(settings, sort_keys=True),
        "device": system.device, "device_kind": system.device.split(":")[0],
        "code_version": system.code_version, "packages": json.dumps(packages), "seed": system.weights.seed,
    }  # fmt: skip


def _metric_facts(metric: Metric, store: Store, networks_on: str) -> dict[str, Any]:
    return {
        "metric": metric.name, "metric_version": metric.version, "metric_key": metric_key(metric, store, networks_on),
    }  # fmt: skip


def engine_facts() -> dict[str, Any]:
    """The metric's fields of a row that the engine itself measures."""
    return {"metric": "engine", "metric_version": definitions.get("usage").version, "metric_key": engine_key()}


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
