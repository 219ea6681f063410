"""What a worker does with a job: makes the waves that are not known, scores them, reports. It opens no store."""

from __future__ import annotations

import contextlib
import socket
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import device, provenance
from bench.batches import fitted, out_of_memory
from bench.engine import memory, scoring
from bench.engine.clock import Clock
from bench.engine.jobs import Due, Failure, Job, Report, output_key
from bench.engine.loaded import CodecBroken, Codecs, load
from bench.engine.pairing import Waves
from bench.engine.producers import make_each
from bench.engine.records import Record
from bench.engine.systems import System
from bench.errors import BenchError, in_words
from bench.fetch.weights import by_digest
from bench.metrics import PASSING, Metric, MetricFailure, Signal, find
from bench.store import dumps, loads
from bench.validity.bits import fresh_decode


class VersionsDiffer(BenchError):
    """A worker on another machine has other versions of packages than the driver: its numbers would be of another bench."""


class NotSeen(BenchError):
    """A worker on another machine does not see a file of the driver's."""


_codecs = Codecs()
device.holders.append(_codecs.drop_others)


def run(job: Job) -> Report:
    """Do what is due of `job`. Raises BenchError for what the user must mend; everything else becomes a failure."""
    try:
        return _run(_of_this_node(job) if job.host != socket.gethostname() else job)
    except BenchError:
        raise
    except Exception as error:
        # Not foreseen. Its place does not travel to the driver by itself.
        where = traceback.extract_tb(error.__traceback__)[-1]
        error.add_note(f"{Path(where.filename).name}, line {where.lineno}")
        raise


def _run(job: Job) -> Report:
    report = Report()
    work = _Work(job, report)
    if job.line is None:
        work.references()
        return report
    work.make()
    for (name, against, output), some in groupby(sorted(job.due, key=_order), _order):
        if job.stage == "all" or (name in job.apart) == (job.stage == "make"):
            work.score(find(name), against, output, list(some))
    return report


def _order(due: Due) -> tuple[str, str, str]:
    return due.metric, due.against, due.output


class _Work:
    """One job under way: what is known, what was made, what failed."""

    def __init__(self, job: Job, report: Report) -> None:
        self.job, self.report = job, report
        here = device.use(job.device) if job.lanes and job.stage == "make" else "cpu"
        self.device = here if job.apart else "cpu"
        self.values: dict[str, Any] = {}
        self.waves = Waves(job.length)

    def known(self, key: str) -> Any | None:
        """The value of `key` from the store or from this very job, or None."""
        if key not in self.values and key in self.job.known:
            self.values[key] = loads(self.job.known[key])
        return self.values.get(key)

    def keep(self, key: str, stage: str, value: Any) -> None:
        self.values[key] = value
        self.report.entries.append((key, stage, dumps(value)))

    def make(self) -> None:
        """The waves that are not known yet."""
        line = self.job.line
        assert line is not None
        names = line.producer.outputs
        due = [
            place for place, key in enumerate(self.job.made) if any(self.known(output_key(key, name)) is None for name in names)
        ]
        if not due or self.job.stage == "score":
            return
        try:
            codec = _codecs.get(line.system)
        except CodecBroken as error:
            self.report.failures.update({self.job.made[place]: ("codec_error", str(error)) for place in due})
            return
        except MemoryError as error:
            self.report.failures.update({self.job.made[place]: ("out_of_memory", str(error)) for place in due})
            return
        where = device.own(line.system.device)
        clock = Clock(where)
        items = [self.job.items[place] for place in due]
        alone = {index for index, place in enumerate(due) if place in self.job.alone}
        for index, made in memory.run(
            items, lambda some: make_each(line.producer, [items[one] for one in some], codec, clock),
            system=line.system.key, where=where, together=getattr(codec, "together", False), alone=alone,
        ):  # fmt: skip
            place = due[index]
            key = self.job.made[place]
            if isinstance(made, Exception):
                self.report.failures[key] = self._why(made, self.job.items[place])
                continue
            for name in names:
                self._decode_again(place, line.system, made[name])
                self.keep(output_key(key, name), "coded", made[name])

    def _decode_again(self, place: int, system: System, record: Any) -> None:
        """Tell in the record how well a second codec, which never saw the original, decodes what was sent; nothing where
        memory does not hold both."""
        if place in self.job.fresh and "codes" in record and record["finite"]:
            with contextlib.suppress(MemoryError):
                fresh = partial(fitted, lambda: load(system), partial(device.make_room, device.own(system.device), system.key))
                told = fresh_decode(partial(fresh, "a second codec"), record["codes"], record["decoded"])
                record.setdefault("odd", {})["fresh_db"] = told

    def _why(self, error: Exception, item: Any) -> Failure:
        if out_of_memory(error):
            return "out_of_memory", in_words(error)
        self._seen(item)
        if isinstance(error, BenchError):
            return getattr(error, "kind", "bad_input"), in_words(error)
        return "codec_error", in_words(error)

    def _seen(self, item: Any) -> None:
        """Raises NotSeen where another machine's file is not to be seen from here."""
        if self.job.host == socket.gethostname():
            return
        for path in (item.path, item.reference, *item.enrolment):
            if path is not None and not path.exists():
                raise NotSeen(
                    f"{socket.gethostname()} does not see {path}: put the data on storage that every node sees under one path"
                )

    def references(self) -> None:
        """Analyses of the references alone."""
        for (name, against, _), some in groupby(sorted(self.job.due, key=_order), _order):
            self._reference_analyses(find(name), against, list(some))

    def _reference_analyses(self, metric: Metric, against: str, dues: Sequence[Due]) -> dict[int, Mapping[str, Any]]:
        """Item -> analysis of its reference, computing those that are not known."""
        if metric.analyse is None:
            return {}
        signals: dict[str, Signal] = {}
        for due in dues:
            if self.known(due.reference) is None and due.reference not in self.report.failures:
                u = self.job.items[due.item]
                try:
                    wave = self.waves.original(u, against, metric.rate_hz)
                except BenchError as error:
                    self._seen(u)
                    self.report.failures[due.reference] = ("bad_input", str(error))
                    continue
                signals[due.reference] = Signal(wave, metric.rate_hz, u.text, u.language)
        self._analyse(metric, signals)
        return {due.item: self.known(due.reference) or self._unknown(due.reference) for due in dues}

    def _unknown(self, key: str) -> dict[str, str]:
        kind, detail = self.report.failures.get(key, ("missing", "no analysis"))
        return {"failure": kind, "detail": detail}

    def _analyse(self, metric: Metric, signals: Mapping[str, Signal]) -> None:
        """Analyse signals by key and keep what comes out. The same signal under several ids is analysed once."""
        if not signals:
            return
        for key, result in zip(signals, scoring.analyse(metric, list(signals.values()), self.device), strict=True):
            value = scoring.plain(result) if isinstance(result, MetricFailure) else dict(result)
            if value.get("failure") in PASSING:
                self.report.failures[key] = (value["failure"], value["detail"])
            else:
                self.keep(key, "analysis", value)

    def score(self, metric: Metric, against: str, output: str, dues: Sequence[Due]) -> None:
        """Scores of one metric for the waves called `output` against the recordings called `against`."""
        found = {due.item: self.known(output_key(self.job.made[due.item], output)) for due in dues}
        records: dict[int, Record] = {place: record for place, record in found.items() if record is not None}
        dues = [due for due in dues if due.item in records]
        if not dues:
            return
        references = self._reference_analyses(metric, against, dues)
        pairs: dict[int, tuple[Signal, Signal]] = {}
        failed: dict[int, MetricFailure] = {}
        for due in dues:
            try:
                pairs[due.item] = self._pair(metric, due, records[due.item], references.get(due.item, {}))
            except MetricFailure as failure:
                failed[due.item] = failure
            except BenchError as error:
                failed[due.item] = MetricFailure("bad_input", str(error))
        if metric.analyse is not None:
            self._analyse_made(metric, dues, pairs, failed)
        for due in dues:
            if due.item in failed:
                value: Mapping[str, Any] = {column.name: scoring.plain(failed[due.item]) for column in metric.columns}
            else:
                value = scoring.score(metric, *pairs[due.item])
            broken = next((one for one in value.values() if isinstance(one, dict) and one["failure"] in PASSING), None)
            if broken is None:
                self.keep(due.score, "score", value)
            else:
                self.report.failures[due.score] = (broken["failure"], broken["detail"])

    def _pair(self, metric: Metric, due: Due, record: Record, analysis: Mapping[str, Any]) -> tuple[Signal, Signal]:
        u = self.job.items[due.item]
        wave, out = self.waves.pair(u, due.against, due.output, record, metric.rate_hz)
        reference = Signal(wave, metric.rate_hz, u.text, u.language, analysis)
        if metric.analyse is not None and len(wave) < len(self.waves.original(u, due.against, metric.rate_hz)):
            # The original was cut with the made wave: what is stored of the whole one does not hold.
            [cut] = scoring.analyse(metric, [reference], self.device)
            reference.analysis = scoring.plain(cut) if isinstance(cut, MetricFailure) else cut
        return reference, Signal(out, metric.rate_hz, u.text, u.language)

    def _analyse_made(
        self, metric: Metric, dues: Sequence[Due], pairs: Mapping[int, tuple[Signal, Signal]], failed: dict[int, MetricFailure]
    ) -> None:
        """Analyses of the made waves; what failed on either side is told in `failed`."""
        there = [due for due in dues if due.item in pairs]
        self._analyse(metric, {due.degraded: pairs[due.item][1] for due in there if self.known(due.degraded) is None})
        for due in there:
            reference, degraded = pairs[due.item]
            degraded.analysis = self.known(due.degraded) or self._unknown(due.degraded)
            bad = next((side.analysis for side in (degraded, reference) if "failure" in side.analysis), None)
            if bad is not None:
                failed[due.item] = MetricFailure(bad["failure"], bad["detail"])


def _of_this_node(job: Job) -> Job:
    """A job of another machine with this one's files of its weights. Raises VersionsDiffer, WeightsMissing, WeightsInvalid."""
    _same_versions(job)
    if job.line is None or not job.line.system.weights.files:
        return job
    system = job.line.system
    here = by_digest(system.point, system.weights.kind, system.weights.digest, system.weights.source)
    return replace(job, line=replace(job.line, system=replace(system, weights=here)))


def _same_versions(job: Job) -> None:
    here = provenance.package_versions(job.versions)
    differ = [f"{name} {here[name]} (driver: {version})" for name, version in job.versions.items() if here[name] != version]
    if differ:
        raise VersionsDiffer(
            f"{socket.gethostname()} has other versions of packages: {', '.join(differ)}. "
            "Install the same versions on every node; their numbers must not be mixed."
        )
