"""Runs a plan: cuts it into jobs, gives them to worker processes, shows progress, survives bad files and dying workers.

On a CPU each worker does the whole chain for its utterances. On CUDA one process drives the device and passes on to the
CPU workers, which score while it decodes the next bucket. Either way results are in the store when a job ends, so that
a killed run goes on where it was.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from bench.engine import worker
from bench.engine.keys import Keys
from bench.engine.plan import Plan
from bench.engine.worker import Job, JobReport
from bench.progress import Progress
from bench.speech import Utterance
from bench.store import Store, key_of

_CHUNK = 6
"""Utterances per job: enough to batch a metric, few enough to keep all workers busy to the end."""


class Runner:
    """Executes a Plan against a Store. `failures` maps a stage key to (kind, detail) for what broke unexpectedly."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self.failures: dict[str, tuple[str, str]] = {}
        self.key = ""
        worker.one_thread()

    def run(self) -> None:
        """Bring every stage of the plan into the store. `key` then tells this run from any with another outcome."""
        jobs = list(self._due())
        if not jobs:
            return
        references = [job for job in jobs if job.system is None]
        coded = [job for job in jobs if job.system is not None]
        total = sum(len(job.utterances) for job in coded)
        title = f"{self.plan.task} on {self.plan.dataset.name}"
        with Progress(total, title, unit="utterance") as progress, _Pools(self.plan) as pools:
            progress.note("references")
            self._work(references, pools, progress, count=False)
            self._work(coded, pools, progress, count=True)

    def _due(self) -> Iterator[Job]:
        """Jobs for whatever is not in the store: first what depends on references only, then system by system."""
        plan = self.plan
        keys = Keys(plan.dataset, plan.metrics, self.store, plan.length)
        names = tuple(metric.name for metric in plan.metrics)
        analysing = [metric for metric in plan.metrics if metric.analyse is not None]
        due: list[Job] = []
        touched: set[str] = set()
        every: list[str] = [plan.task, plan.profile, plan.dataset.sha256]
        for system in plan.systems:
            coded = {u.id: keys.coded(system, u) for u in plan.dataset}
            wanted = {u.id: [coded[u.id], *(keys.score(m, u, coded[u.id]) for m in plan.metrics)] for u in plan.dataset}
            there = self.store.has_many([key for some in wanted.values() for key in some])
            missing = [u for u in plan.dataset if not there.issuperset(wanted[u.id])]
            every += [system.label, system.device, *(key for some in wanted.values() for key in some)]
            touched.update(u.id for u in missing)
            chunks = _chunks(missing, device=plan.device)
            due += [Job(system, some, names, self.store.path, length=plan.length) for some in chunks]
        self.key = key_of(every)
        if analysing and touched:
            spoken = [u for u in plan.dataset if u.id in touched]
            wanted = {u.id: [keys.analysis(m, keys.reference(u), u.language) for m in analysing] for u in spoken}
            there = self.store.has_many([key for some in wanted.values() for key in some])
            missing = [u for u in spoken if not there.issuperset(wanted[u.id])]
            names = tuple(metric.name for metric in analysing)
            yield from (Job(None, some, names, self.store.path, length=plan.length) for some in _chunks(missing))
        yield from due

    def _work(self, jobs: Sequence[Job], pools: _Pools, progress: Progress, *, count: bool) -> None:
        # With a device, coding and scoring are two jobs in two places; without, one job does both.
        queue = [replace(job, stage="code") if pools.cuda and job.system else job for job in reversed(jobs)]
        pending: dict[Future[JobReport], Job] = {}
        while queue or pending:
            # A bounded window keeps memory flat however long the list is.
            while queue and len(pending) < 2 * pools.workers + 1:
                job = queue.pop()
                pending[pools.submit(job)] = job
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                job = pending.pop(future)
                try:
                    report = future.result()
                except BrokenProcessPool:
                    stranded = [job, *pending.values()]
                    pending.clear()
                    pools.restart()
                    self._one_by_one(stranded, pools, progress, count=count)
                    break
                if job.stage == "code":
                    self.failures.update(report.failures)
                    queue.append(replace(job, stage="score"))
                else:
                    self._account(job, report, progress, count)

    def _one_by_one(self, jobs: Sequence[Job], pools: _Pools, progress: Progress, *, count: bool) -> None:
        """A worker died: run what it may have been doing one by one, so that only the guilty utterance is lost."""
        for job in jobs:
            for utterance in job.utterances:
                single = replace(job, utterances=(utterance,), stage="all")
                try:
                    report = pools.submit(single, alone=True).result()
                except BrokenProcessPool:
                    pools.restart()
                    report = JobReport(1, failures=self._crash(single))
                self._account(single, report, progress, count)

    def _crash(self, job: Job) -> dict[str, tuple[str, str]]:
        keys = Keys(self.plan.dataset.select(job.utterances), self.plan.metrics, self.store, self.plan.length)
        if job.system is None:
            return {}
        coded = [keys.coded(job.system, u) for u in job.utterances]
        there = self.store.has_many(coded)
        missing = [key for key in coded if key not in there]
        if not missing:
            missing = [
                keys.score(m, u, key) for u, key in zip(job.utterances, coded, strict=True) for m in self.plan.metrics
            ]
        return dict.fromkeys(missing, ("crash", "the worker process died on this utterance"))

    def _account(self, job: Job, report: JobReport, progress: Progress, count: bool) -> None:
        self.failures.update(report.failures)
        if count and job.system is not None:
            progress.advance(len(job.utterances), job.system.name)


def _chunks(utterances: Sequence[Utterance], device: str = "cpu") -> Iterator[tuple[Utterance, ...]]:
    """Jobs' worth of utterances; for a device, neighbours in length come together (file size stands for length)."""
    ordered = list(utterances)
    if device.startswith("cuda"):
        ordered.sort(key=lambda u: u.path.stat().st_size if u.path.is_file() else 0)
    for start in range(0, len(ordered), _CHUNK):
        yield tuple(ordered[start : start + _CHUNK])


class _Pools:
    """Where jobs run: CPU workers and, with CUDA, one process of its own for the device."""

    def __init__(self, plan: Plan) -> None:
        self.workers = plan.workers
        self.cuda = plan.device.startswith("cuda")
        self._context = multiprocessing.get_context("spawn")
        self._cpu = self._make(self.workers)
        self._device = self._make(1) if self.cuda else self._cpu
        self._alone: ProcessPoolExecutor | None = None

    def _make(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, mp_context=self._context, initializer=worker.begin)

    def submit(self, job: Job, *, alone: bool = False) -> Future[JobReport]:
        if alone:
            if self._alone is None:
                self._alone = self._make(1)
            return self._alone.submit(worker.run, job)
        return (self._device if job.stage == "code" else self._cpu).submit(worker.run, job)

    def restart(self) -> None:
        self.__exit__()
        self._cpu = self._make(self.workers)
        self._device = self._make(1) if self.cuda else self._cpu
        self._alone = None

    def __enter__(self) -> _Pools:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._cpu, self._device, self._alone):
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
