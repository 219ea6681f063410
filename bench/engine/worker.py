"""What a worker process does with a job: whatever of it is not in the store yet, then puts it there.

Models stay loaded between jobs (the last few codecs, every metric). Results go straight into the store, so that nothing
but a short report travels between processes.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import adapters
from bench.engine import conversion, lengths, stages
from bench.engine.keys import Keys
from bench.engine.plan import System
from bench.errors import BenchError
from bench.metrics import Metric, MetricFailure, Signal, find
from bench.speech import Dataset, Utterance
from bench.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KEEP_CODECS = 2


@dataclass(frozen=True)
class Job:
    """Some utterances of one system (None: the references themselves) under some metrics (by name).

    `stage` is "all", or "code" (device work only) and then "score" (of what was coded)."""

    system: System | None
    utterances: tuple[Utterance, ...]
    metrics: tuple[str, ...]
    store: Path
    stage: Literal["all", "code", "score"] = "all"
    length: str = lengths.ZEROS


@dataclass
class JobReport:
    """`failures` are unexpected ones, told per key and never stored: the next run tries them again."""

    utterances: int = 0
    seconds: float = 0.0
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)


class _State:
    """Per process: the open store and the loaded codecs."""

    def __init__(self) -> None:
        self.stores: dict[Path, Store] = {}
        self.codecs: OrderedDict[str, Any] = OrderedDict()

    def store(self, path: Path) -> Store:
        if path not in self.stores:
            self.stores[path] = Store(path)
        return self.stores[path]

    def codec(self, system: System) -> Any:
        if system.key in self.codecs:
            self.codecs.move_to_end(system.key)
        else:
            codec = adapters.load(system.point, system.weights, system.device)
            _warm_up(codec)
            self.codecs[system.key] = codec
            while len(self.codecs) > _KEEP_CODECS:
                self.codecs.popitem(last=False)
        return self.codecs[system.key]


_state = _State()


def one_thread() -> None:
    """One compute thread per process: contention between BLAS pools costs more than it gives."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Networks free and take large blocks all the time: kept by the process, they cost no page faults (10 to 20 %).
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        os.environ.setdefault(name, str(2**28))


def begin() -> None:
    """First thing in a worker process: one thread, and an end with the parent's, so that kill -9 leaves nobody behind."""
    one_thread()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _warm_up(codec: Any) -> None:
    """One second of faint noise, so that lazy set-up is not counted as coding time."""
    import numpy as np

    from bench.codec import roundtrip

    if hasattr(codec, "decoded_for"):
        return
    noise = np.random.default_rng(0).normal(0.0, 0.01, codec.sample_rate).astype(np.float32)
    roundtrip(codec, noise)


def run(job: Job) -> JobReport:
    """Do what is due of `job`. Raises BenchError for what the user must mend; everything else becomes a failure."""
    store = _state.store(job.store)
    chosen = [find(name) for name in job.metrics]
    keys = Keys(Dataset("job", job.utterances), chosen, store, job.length)
    report = JobReport(len(job.utterances))
    if job.system is None:
        for metric in chosen:
            _analyse_references(metric, job.utterances, keys, store, report)
        return report
    records = _coded(job, keys, store, report)
    report.seconds = sum(record["seconds"] for record in records.values())
    if job.stage == "code":
        return report
    coded = [(u, keys.coded(job.system, u)) for u in job.utterances]
    waves = _Waves(records, job.length)
    for metric in chosen:
        # By utterance: one coded wave may be scored against several references.
        due = {u.id: keys.score(metric, u, key) for u, key in coded if key in records}
        there = store.has_many(list(due.values()))
        todo = [(u, key) for u, key in coded if u.id in due and due[u.id] not in there]
        if todo:
            _score(metric, todo, waves, keys, store, report)
    return report


class _Waves:
    """Original and decoded waves of a job, at each rate made once for all metrics."""

    def __init__(self, records: dict[str, Any], rule: str) -> None:
        self.records, self.rule = records, rule
        self.whole: dict[tuple[str, int], NDArray[np.float32]] = {}
        self.pairs: dict[tuple[str, str, int], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def original(self, u: Utterance, rate_hz: int) -> NDArray[np.float32]:
        """The whole original [T]. Raises BenchError."""
        key = u.id, rate_hz
        if key not in self.whole:
            self.whole[key] = u.read_reference(rate_hz)[0]
        return self.whole[key]

    def pair(self, u: Utterance, coded: str, rate_hz: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Original and decoded wave as the length rule cuts them. Raises MetricFailure and BenchError."""
        key = u.id, coded, rate_hz
        if key not in self.pairs:
            whole = self.original(u, rate_hz)
            if u.aligned:
                self.pairs[key] = lengths.pair(whole, self.records[coded], rate_hz, self.rule)
            else:
                self.pairs[key] = whole, stages.decoded_wave(self.records[coded], rate_hz, None)
        return self.pairs[key]


def _coded(job: Job, keys: Keys, store: Store, report: JobReport) -> dict[str, Any]:
    system = job.system
    assert system is not None
    wanted = {keys.coded(system, u): u for u in job.utterances}
    records = store.get_many(list(wanted))
    due = [(key, u) for key, u in wanted.items() if key not in records]
    if not due or job.stage == "score":
        return records
    codec = _state.codec(system)
    clock = stages.Clock(system.device)
    # Batches serve the device; on a CPU one at a time is as fast and times each utterance by itself.
    size = 8 if system.device.startswith("cuda") else 1
    for start in range(0, len(due), size):
        some = due[start : start + size]
        for key, record in _transcode(codec, some, clock, report):
            records[key] = record
            store.put(key, "coded", record)
    return records


def _transcode(
    codec: Any, some: Sequence[tuple[str, Utterance]], clock: stages.Clock, report: JobReport
) -> list[tuple[str, Any]]:
    try:
        if hasattr(codec, "decoded_for"):
            found = [(key, u, codec.decoded_for(u.extra.get("output", u.id))) for key, u in some]
            return [(key, stages.published(wave, codec.sample_rate, u)) for key, u, wave in found]
        if any(u.enrolment for _, u in some):
            # Conversions run one by one: each has a voice of its own.
            if len(some) == 1:
                return [(key, conversion.converted(codec, u, clock)) for key, u in some]
            return [pair for item in some for pair in _transcode(codec, [item], clock, report)]
        made = stages.transcode(codec, [u for _, u in some], clock)
        return [(key, record) for (key, _), record in zip(some, made, strict=True)]
    except Exception as error:
        if len(some) > 1:
            return [pair for item in some for pair in _transcode(codec, [item], clock, report)]
        kind = getattr(error, "kind", "bad_input") if isinstance(error, BenchError) else "codec_error"
        report.failures[some[0][0]] = (kind, f"{type(error).__name__}: {error}")
        return []


def _analyse_references(
    metric: Metric, utterances: Sequence[Utterance], keys: Keys, store: Store, report: JobReport
) -> dict[str, Any]:
    """Reference analyses by utterance id, computing and storing those not there yet."""
    if metric.analyse is None:
        return {}
    wanted = {u.id: keys.analysis(metric, keys.reference(u), u.language) for u in utterances}
    there = store.get_many(list(wanted.values()))
    found = {uid: there[key] for uid, key in wanted.items() if key in there}
    signals: dict[str, Signal] = {}
    for u in utterances:
        if u.id not in found:
            try:
                signals[u.id] = Signal(u.read_reference(metric.rate_hz)[0], metric.rate_hz, u.text, u.language)
            except BenchError as error:
                report.failures[wanted[u.id]] = ("bad_input", str(error))
    found |= _store_analyses(metric, signals, wanted, store, report)
    return found


def _store_analyses(
    metric: Metric, signals: dict[str, Signal], wanted: dict[str, str], store: Store, report: JobReport
) -> dict[str, Any]:
    # The same signal under several ids (a trial of conversion in several roles) is analysed once.
    distinct = {wanted[uid]: signal for uid, signal in signals.items()}
    results = dict(zip(distinct, stages.analyse(metric, list(distinct.values())) if distinct else [], strict=True))
    values = {
        key: stages.plain(result) if isinstance(result, MetricFailure) else dict(result)
        for key, result in results.items()
    }
    broken = {key for key, value in values.items() if value.get("failure") == "error"}
    report.failures.update({key: (values[key]["failure"], values[key]["detail"]) for key in broken})
    store.put_many([(key, "analysis", value) for key, value in values.items() if key not in broken])
    return {uid: values[wanted[uid]] for uid in signals}


def _score(
    metric: Metric,
    todo: Sequence[tuple[Utterance, str]],
    waves: _Waves,
    keys: Keys,
    store: Store,
    report: JobReport,
) -> None:
    references = _analyse_references(metric, [u for u, _ in todo], keys, store, report)
    pairs: dict[str, tuple[Signal, Signal]] = {}
    failed: dict[str, MetricFailure] = {}
    for u, coded_key in todo:
        try:
            wave, out = waves.pair(u, coded_key, metric.rate_hz)
        except MetricFailure as failure:
            failed[u.id] = failure
            continue
        reference = Signal(wave, metric.rate_hz, u.text, u.language, references.get(u.id, {}))
        if metric.analyse is not None and len(wave) < len(waves.original(u, metric.rate_hz)):
            # The original was cut with the decoded wave: what is stored of the whole one does not hold.
            [cut] = stages.analyse(metric, [reference])
            reference.analysis = stages.plain(cut) if isinstance(cut, MetricFailure) else cut
        pairs[u.id] = (reference, Signal(out, metric.rate_hz, u.text, u.language))
    if metric.analyse is not None and pairs:
        wanted = {u.id: keys.analysis(metric, key, u.language, decoded=True) for u, key in todo if u.id in pairs}
        there = store.get_many(list(wanted.values()))
        analyses = {uid: there[key] for uid, key in wanted.items() if key in there}
        missing = {uid: pair[1] for uid, pair in pairs.items() if uid not in analyses}
        analyses |= _store_analyses(metric, missing, wanted, store, report)
        for uid, (reference, degraded) in pairs.items():
            degraded.analysis = analyses[uid]
            bad = next((side.analysis for side in (degraded, reference) if "failure" in side.analysis), None)
            if bad is not None:
                failed[uid] = MetricFailure(bad["failure"], bad["detail"])
    entries = []
    for u, coded_key in todo:
        if u.id in failed:
            value = {column.name: stages.plain(failed[u.id]) for column in metric.columns}
        else:
            value = stages.score(metric, *pairs[u.id])
        key = keys.score(metric, u, coded_key)
        broken = next((v for v in value.values() if isinstance(v, dict) and v["failure"] == "error"), None)
        if broken is None:
            entries.append((key, "score", value))
        else:
            report.failures[key] = (broken["failure"], broken["detail"])
    store.put_many(entries)
