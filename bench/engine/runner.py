"""The driver: gives a plan's jobs to an executor, puts what comes back into the store, survives bad files and lost workers.

Only the driver writes the store. What a job made is there when its report has come, so that a killed run goes on where
it was. A lost worker costs its running job: that is tried again utterance by utterance, and what is lost again is a
counted failure.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace

from bench import device
from bench.engine import executors, worker
from bench.engine.executors import Executor, ExecutorOptions, LostWorker, Needs
from bench.engine.jobs import Failure, Job, Report, Stage
from bench.engine.machine import one_thread
from bench.engine.plan import Plan
from bench.engine.records import kept
from bench.engine.schedule import CHUNK, Schedule, Window
from bench.errors import BenchError, in_words
from bench.progress import Progress
from bench.store import Store

SAVE_EVERY_S = 0.25
"""Results may wait that long for one common transaction: a killed run does them again."""
GIVE_UP_AFTER = 3
"""Utterances of one system, one after another, that may cost a worker before the rest is not tried any more."""


@dataclass(frozen=True)
class _Attempt:
    """A job, the number of its window, and how often it was lost."""

    job: Job
    window: int
    lost: int = 0


class Runner:
    """Executes a Plan against a Store. `failures` maps a stage key to (kind, detail) for what broke unexpectedly, here or
    (those that are given) in an earlier run."""

    def __init__(
        self, plan: Plan, store: Store, executor: Executor | None = None, failures: Mapping[str, Failure] | None = None
    ) -> None:
        self.plan, self.store = plan, store
        self.schedule = Schedule(plan, store)
        self.failures: dict[str, Failure] = dict(failures or {})
        self._given = executor is not None
        self._executor = executor
        self._queue: deque[_Attempt] = deque()
        self._pending: dict[Future[Report], _Attempt] = {}
        self._references: Counter[int] = Counter()
        self._lost_in_a_row: Counter[str] = Counter()
        self._unsaved: dict[str, tuple[str, bytes]] = {}
        self._saved = time.monotonic()
        one_thread()

    @property
    def key(self) -> str:
        """Tells this run from any with another outcome; complete after `run`."""
        return self.schedule.digest

    def run(self) -> None:
        """Bring every stage of the plan into the store; with the executor "stored", only look at what is there."""
        if self.plan.executor == executors.STORED:
            for _ in self.schedule:
                pass
            return
        self.store.check_writable()
        executors.resume(self.plan.executor, self.store)
        windows = iter(self.schedule)
        settled = 0
        for window in windows:
            settled += window.settled
            if window.jobs:
                break
        else:
            return
        total = len(self.plan.dataset) * len(self.plan.lines)
        title = f"{self.plan.task} on {self.plan.dataset.name}"
        try:
            with Progress(total, title, unit="utterance") as progress:
                progress.advance(settled)
                self._run(window, windows, progress)
        finally:
            self._save()
            if self._executor is not None and not self._given:
                self._executor.close()
                self._executor = None
        if self.schedule.coded_again:
            print(f"  {self.schedule.coded_again} utterances were coded again: the store keeps {self.plan.keep} only")

    def _run(self, first: Window, rest: Iterator[Window], progress: Progress) -> None:
        window: Window | None = first
        self._add(first.references, 0)
        number = 0
        while window is not None:
            ahead = next(rest, None)
            if ahead is not None:
                # The next window's references come before this window's lines, and so are there when they are needed.
                self._add(ahead.references, number + 1)
                progress.advance(ahead.settled)
            self._work(progress, lambda number=number: not self._references[number])  # type: ignore[misc]
            self._add(window.jobs, number)
            self._work(progress, lambda: len(self._queue) <= self.executor.places)
            window, number = ahead, number + 1
        self._work(progress, lambda: False)

    def _add(self, jobs: Sequence[Job], window: int) -> None:
        self._queue.extend(_Attempt(job, window) for job in jobs)
        self._references[window] += sum(job.line is None for job in jobs)

    @property
    def executor(self) -> Executor:
        """The executor that was given, else processes of this run's own."""
        if self._executor is None:
            gpus = device.all_of(self.plan.device) if self.plan.lanes else ()
            options = ExecutorOptions(self.plan.workers, gpus, plan=self.key, command=self.plan.command)
            self._executor = executors.make(self.plan.executor, options)
        return self._executor

    def _work(self, progress: Progress, enough: Callable[[], bool]) -> None:
        """Hand out jobs and take reports until `enough`, or nothing is left."""
        while (self._queue or self._pending) and not enough():
            # A bounded number of jobs under way keeps memory flat however long the list is.
            while self._queue and len(self._pending) < self.executor.places:
                self._submit(self._queue.popleft(), progress)
            self.executor.flush()
            if not self._pending:
                continue
            done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                self._settle(self._pending.pop(future), future, progress)

    def _submit(self, attempt: _Attempt, progress: Progress) -> None:
        job = attempt.job
        if job.line is not None and self._lost_in_a_row[job.line.system.key] >= GIVE_UP_AFTER:
            reason = f"not tried: {GIVE_UP_AFTER} utterances of this system, one after another, ended their worker"
            self._fail(job, ("crash", reason), progress)
            return
        if not self._unsaved.keys().isdisjoint(job.lookup):
            self._save()
        job = replace(job, known=self.schedule.filled(job))
        needs: Needs = "gpu" if job.lanes and job.stage == "make" else "cpu"
        self._pending[self.executor.submit(worker.run, job, needs)] = attempt

    def _settle(self, attempt: _Attempt, future: Future[Report], progress: Progress) -> None:
        job = attempt.job
        self._references[attempt.window] -= job.line is None
        try:
            report = future.result()
        except LostWorker as lost:
            self.executor.restart()
            self._after_loss(attempt, lost, progress)
            return
        except BenchError:
            raise
        except Exception as error:
            # Not foreseen: it costs this job, and is told with its place, while the other systems get their rows.
            self._after_loss(
                attempt, LostWorker("; ".join([in_words(error), *getattr(error, "__notes__", ())]), "error"), progress
            )
            return
        self._store(report)
        self.failures.update(report.failures)
        if job.line is None:
            return
        self._lost_in_a_row[job.line.system.key] = 0
        if job.stage == "make":
            # What was made travels on to where it is scored, in jobs for several workers; it need not come back out of the store.
            values = report.values()
            made = {key: values[key] for key in job.lookup if key in values}
            due = tuple(one for one in job.due if one.metric not in job.apart)
            parts = list(replace(job, stage="score", due=due, known=made).parts(CHUNK)) if due else []
            self._queue.extendleft(replace(attempt, job=part) for part in reversed(parts))
            if not parts:
                progress.advance(len(job.items), job.line.name)
        else:
            progress.advance(len(job.items), job.line.name)

    def _store(self, report: Report) -> None:
        keep = self.plan.keep
        for key, stage, data in report.entries:
            self._unsaved[key] = stage, kept(data, keep) if stage == "coded" else data
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self._save()

    def _save(self) -> None:
        """Put what came back into the store."""
        self.store.put_raw([(key, stage, data) for key, (stage, data) in self._unsaved.items()])
        self._unsaved.clear()
        self._saved = time.monotonic()

    def _after_loss(self, attempt: _Attempt, lost: LostWorker, progress: Progress) -> None:
        """First the utterances one by one, making and scoring apart, so that only the guilty step is lost; then no more."""
        job = attempt.job
        alone = len(job.items) == 1
        if job.line is None:
            # A reference that ends its worker is left to the scores that need it.
            if not alone:
                self._again(replace(attempt, lost=attempt.lost + 1))
        elif not alone or (attempt.lost < 2 and lost.kind == "crash"):
            stage: Stage = "make" if job.stage == "all" else job.stage
            self._again(replace(attempt, job=replace(job, stage=stage), lost=attempt.lost + 1))
        else:
            self._lost_in_a_row[job.line.system.key] += 1
            self._fail(job, (lost.kind, str(lost)), progress)

    def _again(self, attempt: _Attempt) -> None:
        for one in attempt.job.parts():
            self._queue.appendleft(replace(attempt, job=one))
            self._references[attempt.window] += one.line is None

    def _fail(self, job: Job, failure: Failure, progress: Progress) -> None:
        assert job.line is not None
        self.failures.update(job.failed(failure, made=job.stage != "score"))
        progress.advance(len(job.items), job.line.name)
