"""How rows of a run come into a table, and which rows of a table are out of date.

A run renews the columns that it computed, of the systems that it ran, and touches nothing else. Nothing here resolves
weights, loads a codec or uses the network: what is out of date is told by the versions that the rows themselves carry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cards, definitions, metrics
from bench.errors import BenchError, UnknownName
from bench.results import files, schema, upkeep, writer
from bench.results.files import BadRows
from bench.results.identity import Identity, facts_of, identity_of
from bench.stats.labels import codec_of, system_labels
from bench.store import key_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

CODED = ("resynthesis", "converted", "ceiling", "untreated", "chunked", "degraded", "synthesis", "enhanced", "separated")
"""Roles whose settings are the card's."""


@dataclass(frozen=True)
class Place:
    """Where a table lies: `base`, or beside it under a digest when `base` holds another list of the same name."""

    base: Path
    dataset_sha256: str
    audio_sha256: str

    def folder(self) -> Path:
        """The folder of this very list and audio. Hold the lock of `base` when rows are to be written there."""
        for table in (self.base, self.base.with_name(f"{self.base.name}-{self.digest[:8]}")):
            owner = self._owner(table)
            if owner is None or owner == (self.dataset_sha256, self.audio_sha256):
                return table
        raise BenchError(f"{table}: holds rows of another list of speech; move it away and run the same command again")

    @property
    def digest(self) -> str:
        """Identity of the list of speech and its audio."""
        return key_of("table", self.dataset_sha256, self.audio_sha256)

    @staticmethod
    def _owner(table: Path) -> tuple[str, str] | None:
        for path in files.paths(table):
            try:
                facts = files.about(path)
            except BadRows:
                continue
            return str(facts.get("dataset_sha256", "")), str(facts.get("audio_sha256", ""))
        return None


def place(results: Path, task: str, dataset: str, *, partial: int, sha256: str, audio_sha256: str) -> Place:
    """results/<task>/<data set>; a part of a set (`partial` utterances of it) goes to results/partial/."""
    name = re.sub(r"[^\w.+-]+", "-", dataset).strip("-")
    base = results / "partial" / task / f"{name}-{partial}" if partial else results / task / name
    return Place(base, sha256, audio_sha256)


@dataclass
class Renewed:
    """What a merge did to one system: the columns that it renewed; `lost` when none of its scores came to be."""

    identity: Identity
    columns: set[str] = field(default_factory=set)
    scored: int = 0
    failed: int = 0

    @property
    def lost(self) -> bool:
        """Whether every utterance of the system failed."""
        return self.scored > 0 and self.failed == self.scored

    def count(self, rows: pa.Table) -> None:
        """Take note of a slice of fresh rows."""
        import pyarrow.compute as pc

        self.columns |= set(pc.unique(rows["column"]).to_pylist())
        scores = rows.filter(pc.not_equal(rows["metric"], "engine"))
        self.scored += len(scores)
        self.failed += len(scores) - scores["failure"].null_count


def renew(table: Path, slices: Iterable[pd.DataFrame | pa.Table]) -> Renewed | None:
    """Write the rows of one system, which come in slices, and keep its other columns; None when there are no rows.

    Every column in the slices replaces that column of the system's file. Hold the table's lock.
    """
    rest = iter(slices)
    first = next((part for part in map(schema.as_arrow, rest) if len(part)), None)
    if first is None:
        return None
    row = first.slice(0, 1).to_pylist()[0]
    made = Renewed(identity_of(row))
    path = table / files.ROWS / made.identity.file_name
    before = _before(path)
    with writer.Writer(path, facts_of(first.slice(0, 1).to_pandas(), made.identity)) as out:
        for part in chain([first], map(schema.as_arrow, rest)):
            made.count(part)
            out.write(part)
        for part in before:
            out.write(_without(part, made.columns))
    return made


def _before(path: Path) -> Iterator[pa.Table]:
    """What the file holds, in batches; a file that cannot be read is kept aside and told."""
    if not path.is_file():
        return iter(())
    try:
        return files.verified(path)
    except BadRows as error:
        upkeep.set_aside(path, error)
        return iter(())


def _without(rows: pa.Table, columns: set[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.filter(pc.invert(pc.is_in(rows["column"], value_set=pa.array(sorted(columns)))))


@dataclass(frozen=True)
class Stale:
    """Columns of a system that a table leaves out, and why."""

    label: str
    columns: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        columns = ", ".join(self.columns[:6]) + (f" and {len(self.columns) - 6} more" if len(self.columns) > 6 else "")
        codec = codec_of(self.label)
        return f"left out: {self.label}, {columns}: {self.reason}. To renew: bench run --codec {codec}, on the same data"


@dataclass(frozen=True)
class Older:
    """Columns that are of an earlier version of their metric in every row of a table: comparable, and told."""

    columns: tuple[str, ...]
    metric: str
    version: str
    now: str
    task: str = ""

    def __str__(self) -> str:
        task = f"--task {self.task} " if self.task not in ("", "resynthesis") else ""
        return (
            f"{', '.join(self.columns)}: by version {self.version} of the metric {self.metric}, whose definition is of version "
            f"{self.now} now. To renew: bench run {task}--codec all --metrics {','.join(self.columns)}, on the same data"
        )


def read(table: Path, columns: Sequence[str] | None = None) -> tuple[pd.DataFrame, list[Stale | Older]]:
    """(rows to show, what was left out or is of an earlier version). `columns`: only these fields. Raises BadRows.

    A table never mixes two versions of a metric. Where no row is of today's version, the newest that is there is shown.
    """
    import pyarrow as pa

    every = [_whole(path, columns) for path in files.paths(table)]
    earlier = older([rows for rows, _ in every])
    parts: list[pa.Table] = []
    found: list[Stale | Older] = [*earlier]
    for whole, system_key in every:
        rows, stale = up_to_date(whole, system_key, earlier)
        parts.append(rows)
        found += stale
    if not parts:
        return files.read(table), found
    return pa.concat_tables(parts).unify_dictionaries().to_pandas(strings_to_categorical=True), found


def current(path: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, list[Stale | Older]]:
    """`read` of one system's file alone, as an Arrow table. Raises BadRows."""
    whole, system_key = _whole(path, columns)
    earlier = older([whole])
    rows, stale = up_to_date(whole, system_key, earlier)
    return rows, [*earlier, *stale]


def _whole(path: Path, columns: Sequence[str] | None) -> tuple[pa.Table, str]:
    """(all rows of one file, the key of its newest ones)."""
    needed = None if columns is None else [*columns, *TELLING, *Identity.__dataclass_fields__]
    return files.arrow(path, needed), str(files.about(path).get("system_key", ""))


TELLING = ("column", "metric", "metric_version", "definitions", "system_key", "settings")
"""Fields that say whether a row is up to date."""


def older(tables: Sequence[pa.Table]) -> list[Older]:
    """Metrics of which no row is of today's version, each with the newest version that is there."""
    there: dict[str, dict[str, set[str]]] = {}
    for rows in tables:
        for kind in rows.group_by(["metric", "metric_version", "column"], use_threads=False).aggregate([]).to_pylist():
            by_version = there.setdefault(str(kind["metric"]), {})
            by_version.setdefault(str(kind["metric_version"]), set()).add(str(kind["column"]))
    found = []
    for metric, by_version in there.items():
        now = metric_version(metric)
        if now is not None and now not in by_version:
            newest = max(by_version, key=lambda version: (version.isdigit(), int(version) if version.isdigit() else 0, version))
            task = str(next((rows["task"][0] for rows in tables if len(rows) and "task" in rows.column_names), ""))
            found.append(Older(tuple(sorted(by_version[newest])), metric, newest, now, task))
    return found


def up_to_date(rows: pa.Table, system_key: str, earlier: Sequence[Older]) -> tuple[pa.Table, list[Stale]]:
    """The rows of one system that are up to date, and what of it is not. earlier: metrics whose earlier version is wanted."""
    import pyarrow.compute as pc

    if not len(rows):
        return rows, []
    wanted = {one.metric: one.version for one in earlier}
    kinds = rows.group_by(list(TELLING), use_threads=False).aggregate([]).to_pylist()
    first = rows.slice(0, 1).to_pylist()[0]
    reasons: dict[str, dict[str, Mapping[str, Any]]] = {}
    for kind in kinds:
        reason = out_of_date(kind | {name: first[name] for name in ("codec", "role")}, system_key, wanted)
        if reason:
            reasons.setdefault(reason, {})[str(kind["column"])] = kind
    if not reasons:
        return rows, []
    label = system_labels(rows.slice(0, 1).to_pandas()).iloc[0]
    for some in reasons.values():
        for kind in some.values():
            mask = None
            for name in TELLING:
                same = pc.is_null(rows[name]) if kind[name] is None else pc.equal(rows[name].cast("string"), kind[name])
                mask = same if mask is None else pc.and_(mask, same)
            rows = rows.filter(pc.invert(pc.fill_null(mask, False)))
    return rows, [Stale(label, tuple(sorted(some)), reason) for reason, some in reasons.items()]


def out_of_date(row: Mapping[str, Any], system_key: str, wanted: Mapping[str, str] | None = None) -> str | None:
    """Why a row is no longer what today's definitions would give; None when it is. `system_key`: of the newest rows.

    wanted: versions of metrics that are asked for in place of today's.
    """
    wanted = wanted or {}
    if system_key and row["system_key"] != system_key:
        return "the audio it was scored on has been coded anew since, with other settings, packages or code"
    metric = str(row["metric"])
    now = wanted.get(metric, metric_version(metric))
    if now is not None and now != str(row["metric_version"]):
        return f"the metric {row['metric']} is of version {now} now, these rows are of version {row['metric_version']}"
    for name, version in json.loads(row["definitions"] or "{}").items():
        now = wanted.get(name.removeprefix("metric:"), definition_version(name))
        if now is not None and now != version:
            return f"the definition {name} is of version {now} now, these rows are of version {version}"
    settings = card_settings(str(row["codec"])) if row["role"] in CODED else None
    if settings is not None and settings != (row["settings"] or "{}"):
        return "the settings on its card have changed"
    return None


@cache
def metric_version(name: str) -> str | None:
    """Today's version of a metric; None when no metric is called so (or its package is not installed)."""
    try:
        return metrics.find(name).version
    except UnknownName:
        return None


@cache
def definition_version(name: str) -> str | None:
    """Today's version of a definition; None when nothing is called so (or its package is not installed)."""
    try:
        return definitions.get(name).version
    except UnknownName:
        return None


@cache
def card_settings(codec: str) -> str | None:
    """Today's settings of a codec as rows tell them; None for what no card describes."""
    if codec.split("@")[0] not in cards.paths():
        return None
    try:
        return json.dumps(dict(cards.resolve(codec).settings), sort_keys=True)
    except BenchError:
        return None
