"""From a plan to jobs, a window of utterances at a time: nothing ever holds the keys of the whole run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from bench import provenance
from bench.engine import memory
from bench.engine.jobs import Due, Job, Stage, analysis_keys, output_key, output_keys
from bench.engine.keys import Keys
from bench.engine.plan import Comparison, Line, Plan
from bench.engine.records import has_audio
from bench.speech import Utterance
from bench.store import Store, loads

CHUNK = 6
"""Utterances per job on CPUs: enough to batch a metric, few enough to keep all workers busy to the end."""
DEVICE_CHUNK = 64
ALONE = 16
"""Utterances of a data set that are coded one by one on a device as well: their times are real-time factors."""


@dataclass
class Window:
    """Jobs of some utterances: analyses of references first, then the lines. `settled`: utterances with nothing due."""

    references: list[Job] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    settled: int = 0


@dataclass(frozen=True)
class Keyed:
    """One utterance in one line: the key of what is made, and everything that is scored of it."""

    item: Utterance
    made: str
    dues: tuple[Due, ...]


class Schedule:
    """Iterating gives windows. `digest` tells this run from any with another outcome; complete when all windows were given."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self.keys = Keys(plan.metrics, store, plan.length, plan.networks_on)
        self.coded_again = 0
        # Keys that this window and the one before hand out: several utterances may be made of one recording.
        self._handed: set[str] = set()
        self._before: set[str] = set()
        self._digest = hashlib.sha256(repr((plan.task, plan.profile, plan.dataset.sha256)).encode())
        items = plan.dataset.utterances
        # Always the same two, so that no row depends on what was in the store or on who comes first.
        self._fresh = {items[place].id for place in (0, len(items) // 2)} if items else set()
        self._alone = {items[place].id for place in range(0, len(items), max(1, len(items) // ALONE))}
        # A network that cannot use the device (onnxruntime without CUDA) is scored where the metrics without one are.
        networks = [metric for metric in plan.metrics if plan.lanes and metric.device]
        self._apart = frozenset(one.name for one in networks if one.place(plan.networks_on) == plan.networks_on)
        packages = {name for metric in plan.metrics for name in metric.packages}
        packages |= {name for line in plan.lines for name in line.system.point.packages}
        self._versions = provenance.package_versions([*packages, "numpy", "torch", "soxr", "speech-codec-bench"])

    @property
    def digest(self) -> str:
        """Hash (hex) of all that the windows so far gave to do."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Window]:
        items = self.plan.dataset.utterances
        for start in range(0, len(items), self.plan.window):
            yield self._window(items[start : start + self.plan.window])

    def keyed(self, line: Line, items: Sequence[Utterance]) -> list[Keyed]:
        """Keys of those of `items` that bring what `line` needs, in order."""
        self.keys.prepare(items)
        compared = self.plan.compared(line)
        return [self._keyed(line, item, compared) for item in items if line.producer.has_what_it_needs(item)]

    def _keyed(self, line: Line, item: Utterance, compared: Sequence[Comparison]) -> Keyed:
        made = self.keys.wave(line, item)
        dues = []
        for comparison in compared:
            output = output_key(made, comparison.output)
            reference = self.keys.reference(item, comparison.against)
            for metric in comparison.metrics:
                analyses = ("", "")
                if metric.analyse is not None:
                    analyses = (
                        self.keys.analysis(metric, reference, item.language),
                        self.keys.analysis(metric, output, item.language, decoded=True),
                    )
                score = self.keys.score(metric, item, reference, output)
                dues.append(Due(0, metric.name, comparison.against, comparison.output, score, *analyses))
        return Keyed(item, made, tuple(dues))

    def _window(self, items: Sequence[Utterance]) -> Window:
        window = Window()
        self._before, self._handed = self._handed, set()
        touched: dict[str, tuple[Utterance, Due]] = {}
        for line in self.plan.lines:
            due = []
            for one in self._missing(line, self.keyed(line, items)):
                due.append(one)
                touched.update({score.reference: (one.item, score) for score in one.dues if score.reference})
            window.settled += len(items) - len(due)
            window.jobs += self._jobs(line, due)
        window.references = list(self._reference_jobs(touched))
        return window

    def _missing(self, line: Line, keyed: Sequence[Keyed]) -> Iterator[Keyed]:
        """Those of `keyed` of which something is neither in the store nor handed out already, with what is due of them."""
        outputs = {one.made: output_keys(line, [one.made]) for one in keyed}
        wanted = [key for one in keyed for key in (*outputs[one.made], *(due.score for due in one.dues))]
        there = self.store.has_many(wanted)
        for one in keyed:
            self._digest.update(one.made.encode())
            for due in one.dues:
                self._digest.update(due.score.encode())
            scores = tuple(due for due in one.dues if due.score not in there and self._is_new(due.score))
            if (self._is_new(one.made) and not there.issuperset(outputs[one.made])) or scores:
                yield Keyed(one.item, one.made, scores)

    def _is_new(self, key: str) -> bool:
        """Whether this is the first that asks for what `key` stands for."""
        if key in self._handed or key in self._before:
            return False
        self._handed.add(key)
        return True

    def _jobs(self, line: Line, due: Sequence[Keyed]) -> Iterator[Job]:
        lanes = self.plan.lanes
        chunk = DEVICE_CHUNK if lanes else CHUNK
        # On a device neighbours in length come together: less padding in a batch.
        ordered = sorted(due, key=lambda one: memory.seconds(one.item)) if lanes else list(due)
        for start in range(0, len(ordered), chunk):
            some = ordered[start : start + chunk]
            dues = tuple(replace(score, item=place) for place, one in enumerate(some) for score in one.dues)
            made = tuple(one.made for one in some)
            lookup = dict.fromkeys((*output_keys(line, made), *analysis_keys(dues)))
            fresh, alone = (
                frozenset(place for place, one in enumerate(some) if one.item.id in ids)
                for ids in (self._fresh, self._alone if lanes else ())
            )
            yield Job(
                line, tuple(one.item for one in some), made, dues, tuple(lookup), stage="make" if lanes else "all",
                lanes=lanes, apart=self._apart, device=line.system.device, length=self.plan.length, fresh=fresh, alone=alone,
                versions=self._versions,
            )  # fmt: skip

    def _reference_jobs(self, touched: dict[str, tuple[Utterance, Due]]) -> Iterator[Job]:
        there = self.store.has_many(list(touched))
        missing = [pair for key, pair in touched.items() if key not in there]
        yield from self._analyses([pair for pair in missing if pair[1].metric in self._apart], on_device=True)
        yield from self._analyses([pair for pair in missing if pair[1].metric not in self._apart], on_device=False)

    def _analyses(self, missing: Sequence[tuple[Utterance, Due]], *, on_device: bool) -> Iterator[Job]:
        """Jobs that analyse references, on the device lane or on CPUs."""
        chunk, where = (DEVICE_CHUNK, self.plan.device) if on_device else (CHUNK, "cpu")
        stage: Stage = "make" if on_device else "all"
        by_item: dict[str, list[tuple[Utterance, Due]]] = {}
        for item, due in missing:
            by_item.setdefault(item.id, []).append((item, due))
        groups = list(by_item.values())
        for start in range(0, len(groups), chunk):
            some = groups[start : start + chunk]
            dues = tuple(
                Due(place, due.metric, due.against, "", "", due.reference) for place, group in enumerate(some) for _, due in group
            )
            items = tuple(group[0][0] for group in some)
            yield Job(
                None, items, (), dues, stage=stage, lanes=on_device, apart=self._apart, device=where, length=self.plan.length,
                versions=self._versions,
            )  # fmt: skip

    def filled(self, job: Job) -> dict[str, bytes]:
        """What `job` knows already and what the store holds of the rest of its lookup.

        A wave that was dropped once it was scored counts as not there: it is coded again.
        """
        found = self.store.get_raw([key for key in job.lookup if key not in job.known])
        if job.line is not None and job.due:
            for key in output_keys(job.line, job.made):
                if key in found and not has_audio(loads(found[key])):
                    del found[key]
                    self.coded_again += 1
        return found | dict(job.known)
