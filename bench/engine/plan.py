"""What is to be run: systems (codecs with their weights) on a data set under a list of metrics, and all their keys."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import adapters, audio, cards, metrics, provenance, weights
from bench.adapters import published
from bench.cards import Point
from bench.data import published as listing
from bench.engine.lengths import ZEROS, check
from bench.errors import BenchError, DataMissing
from bench.metrics import Metric
from bench.speech import Dataset, Utterance
from bench.store import Store, key_of
from bench.weights import Weights

ENGINE_CODE = "bench.engine.stages"
CONVERSION_CODE = "bench.engine.conversion"


@dataclass(frozen=True)
class System:
    """One line of the leaderboard: an operating point, the weights it ran with and the device it ran on."""

    point: Point
    weights: Weights
    device: str = "cpu"

    @property
    def name(self) -> str:
        return self.point.name

    @property
    def label(self) -> str:
        """`focalcodec@50 [nano]`; codecs without weights go by their name alone."""
        return self.name if self.weights.kind == "none" else f"{self.name} [{self.weights.label}]"

    @cached_property
    def code_version(self) -> str:
        return provenance.code_version(adapters.targets()[self.point.adapter])

    @cached_property
    def key(self) -> str:
        """Identity of the coded output: settings, weights, code, packages, kind of device, resampler."""
        packages = provenance.package_versions(self.point.packages)
        return key_of(
            "system", self.name, self.point.settings, self.weights.digest, self.code_version, packages,
            self.device.split(":")[0], audio.RESAMPLER, provenance.code_version(ENGINE_CODE),
        )  # fmt: skip


def resolve(name: str) -> Point:
    """`family@point`, or `published:PATH` for audio that somebody else decoded."""
    return published.point(name) if name.startswith(published.PREFIX) else cards.resolve(name)


def system(name: str, *, profile: str = "embedded", want: str | None = None, device: str = "cpu") -> System:
    """Resolve `family@point` with the weights `want` (a kind, or a path; None: what the profile means)."""
    point = resolve(name)
    if want is None:
        found = weights.resolve(point, weights.choose(point, profile))
    elif want in weights.KINDS:
        found = weights.resolve(point, want if point.needs_weights else "none")
    elif Path(want).exists():
        found = weights.resolve(point, path=want)
    else:
        raise BenchError(f"WEIGHTS={want}: neither a file or folder nor one of {', '.join(weights.KINDS)}")
    return System(point, found, device)


def systems(
    names: Sequence[str], *, profile: str = "embedded", want: str | None = None, device: str = "cpu"
) -> list[System]:
    """Resolve several names; "all" means every point whose weights are on this machine, `published:PATH` every system
    below PATH (or PATH itself, when it is one system's folder)."""
    chosen: list[System] = []
    for name in (one for several in names for one in _expanded(several)):
        if name != "all":
            chosen.append(system(name, profile=profile, want=want, device=device))
            continue
        for point in cards.all_points():
            kind = (want if want in weights.KINDS else None) or weights.choose(point, profile)
            if weights.available(point, kind) and not point.facts.get("floor_only"):
                chosen.append(system(point.name, profile=profile, want=want, device=device))
    unique = {item.label: item for item in chosen}
    return list(unique.values())


ALWAYS: tuple[str, ...] = ("pair",)
"""Metrics of every run unless a task says otherwise: delay, gain, polarity and length of each pair."""


def cores() -> int:
    """Cores this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def _expanded(name: str) -> list[str]:
    if not name.startswith(published.PREFIX):
        return [name]
    folder = Path(name.removeprefix(published.PREFIX)).expanduser()
    try:
        listing.originals(folder)
        return [f"{published.PREFIX}{path}" for path in listing.systems(folder).values()]
    except DataMissing:  # no originals beside it: one system's own folder
        return [name]


@dataclass(frozen=True)
class Plan:
    """A run. `columns` are what the table shows; the metrics that yield them are what is computed."""

    task: str
    systems: tuple[System, ...]
    dataset: Dataset
    columns: tuple[str, ...]
    profile: str = "embedded"
    device: str = "cpu"
    always: tuple[str, ...] = ALWAYS
    length: str = ZEROS
    workers: int = field(default_factory=lambda: cores())

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(metrics.find_all([*self.columns, *self.always]))


def metric_key(metric: Metric) -> list[Any]:
    """What a score of `metric` depends on besides its signals."""
    code = provenance.code_version(metrics.module_of(metric))
    return [
        metric.name,
        metric.version,
        code,
        provenance.package_versions(metric.packages),
        metric.rate_hz,
        audio.RESAMPLER,
    ]


class Keys:
    """Keys of every stage of a plan. Files are hashed once, ever (the store remembers by size and time)."""

    def __init__(self, dataset: Dataset, chosen: Sequence[Metric], store: Store, length: str = ZEROS) -> None:
        self._length = () if length == ZEROS else (check(length),)
        paths = [path for u in dataset for path in (u.path, u.reference, *u.enrolment) if path is not None]
        self._files: Mapping[Path, str] = store.file_sha256(paths)
        self._store = store
        self._published: dict[str, published.Published] = {}
        self._conversion = provenance.code_version(CONVERSION_CODE)
        self._metrics = {metric.name: key_of(metric_key(metric)) for metric in chosen}

    def spoken(self, utterance: Utterance) -> str:
        """The codec's input: the file and, if mixed, the mixture's own description."""
        mix = repr(utterance.mix) if utterance.mix is not None else None
        return key_of("input", self._files[utterance.path], mix)

    def reference(self, utterance: Utterance) -> str:
        return key_of("input", self._files[utterance.reference or utterance.path], None)

    def coded(self, system: System, utterance: Utterance) -> str:
        if system.point.adapter == "published":
            decoded = self._decoded_file(system, utterance)
            whole = () if utterance.aligned else ("whole",)
            return key_of("coded", system.key, self.spoken(utterance), decoded, *whole)
        if utterance.enrolment:
            voice = [self._files[path] for path in utterance.enrolment]
            return key_of("converted", system.key, self.spoken(utterance), voice, self._conversion)
        return key_of("coded", system.key, self.spoken(utterance))

    def _decoded_file(self, system: System, utterance: Utterance) -> str:
        """Hash of the file that somebody else decoded."""
        if system.key not in self._published:
            folder = published.Published(Path(system.point.settings["path"]), system.point.sample_rate)
            self._store.file_sha256(list(folder.files.values()))
            self._published[system.key] = folder
        path = self._published[system.key].path_for(utterance.extra.get("output", utterance.id))
        return self._store.file_sha256([path])[path] if path is not None else "missing"

    def analysis(self, metric: Metric, signal_key: str, language: str, *, decoded: bool = False) -> str:
        rule = self._length if decoded else ()
        return key_of("analysis", self._metrics[metric.name], signal_key, language, *rule)

    def score(self, metric: Metric, utterance: Utterance, coded_key: str) -> str:
        text = utterance.text if metric.needs_text else None
        whole = () if utterance.aligned else ("whole",)
        return key_of(
            "score", self._metrics[metric.name], self.reference(utterance), coded_key, text, utterance.language, *whole,
            *self._length,
        )
