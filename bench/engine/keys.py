"""What every stored result is known by: versions of definitions, digests of content, versions of packages, kind of device.

The key of a stage is the sha256 of everything its result depends on, and of nothing else. Code is no part of it: a
definition whose arithmetic changes gets a new version, and `bench certify` notices when that was forgotten.

Keys are made by the million. What is the same for many utterances is hashed once; each key then costs a copy of that
hash and the little that differs. Digests of files are looked up by the window, so that memory stays flat however long
the data set is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cards, definitions, provenance
from bench.adapters import published
from bench.cards import Point
from bench.engine.lengths import ZEROS, check
from bench.metrics import Metric
from bench.speech import Dataset, Utterance
from bench.store import Store, key_of

if TYPE_CHECKING:
    from bench.engine.plan import System

_WINDOW = 1024
"""Utterances whose files are looked up at a time."""


def system_key(point: Point, weights_sha256: str, device: str = "cpu") -> str:
    """Identity of a codec as it runs: settings, digest of its weights, definitions, packages, kind of device."""
    return key_of("system", *_codec(point), weights_sha256, device.split(":")[0])


def _codec(point: Point) -> list[Any]:
    """What a codec's output depends on besides its weights. One that decodes with another codec depends on that too."""
    inner = definitions.wrapped(point)
    return [
        point.name, point.settings, point.sample_rate, provenance.package_versions(point.packages),
        [one.identity for one in definitions.of_system(point)], _codec(cards.resolve(inner)) if inner else None,
    ]  # fmt: skip


def metric_key(metric: Metric, store: Store) -> str:
    """Identity of a metric as it runs: definition, packages, its own weights, rate. Raises WeightsMissing."""
    files = list(metric.weights())
    found = store.file_sha256(files)
    weights = sorted((path.name, found[path]) for path in files)
    return key_of(
        "metric", definitions.metric(metric).identity, metric.rate_hz, weights, definitions.get("audio").identity
    )


@cache
def engine_key() -> str:
    """Identity of what the engine itself measures of codes: their usage and entropy."""
    return key_of("engine", definitions.get("usage").identity)


def probe_key(settings: Any) -> str:
    """Identity of a probe under `settings` (a mapping)."""
    return key_of("probe", settings, definitions.get("probe").identity, definitions.get("probe-inputs").identity)


def audio_sha256(dataset: Dataset, store: Store) -> str:
    """One digest over the content of every file of `dataset`, in its order: two sets with other audio never are the same."""
    digest = hashlib.sha256()
    everything = iter(dataset)
    while some := list(islice(everything, _WINDOW)):
        paths = [list(_paths(u)) for u in some]
        found = store.file_sha256(list(chain(*paths)))
        for u, of_one in zip(some, paths, strict=True):
            mix = repr(u.mix) if u.mix is not None else ""
            digest.update(_joined(u.id, *(found[path] for path in of_one), mix))
    return digest.hexdigest()


class Keys:
    """Keys of every stage of a run of `chosen` metrics on `dataset`."""

    def __init__(self, dataset: Dataset, chosen: Sequence[Metric], store: Store, length: str = ZEROS) -> None:
        self._digests = _Digests(dataset, store)
        self._store = store
        self._published: dict[str, published.Published] = {}
        rule = _joined(*map(str, definitions.get("lengths").identity[:2]), check(length))
        audio = _text(definitions.get("audio").identity)
        self._input = _hasher("input", audio, _text(definitions.get("mixing").identity))
        self._plain = _hasher("input", audio)
        known = {metric.name: metric_key(metric, store) for metric in chosen}
        self._scores = {name: _hasher("score", key, rule) for name, key in known.items()}
        self._analyses = {
            (name, decoded): _hasher("analysis", key, rule if decoded else "")
            for name, key in known.items() for decoded in (False, True)
        }  # fmt: skip
        self._made: dict[tuple[str, str, str], hashlib._Hash] = {}

    def digest(self, path: Path) -> str:
        """sha256 of a file's content, "missing" where there is none."""
        return self._digests[path]

    def spoken(self, utterance: Utterance) -> str:
        """The codec's input: the file and, if mixed, the mixture's own description."""
        if utterance.mix is None:
            return _key(self._plain, self._digests[utterance.path])
        return _key(self._input, self._digests[utterance.path], repr(utterance.mix))

    def reference(self, utterance: Utterance) -> str:
        """What scores are measured against."""
        return _key(self._plain, self._digests[utterance.reference or utterance.path])

    def made(self, producer: str, version: str, system: System, parts: Iterable[Any]) -> str:
        """What `producer` makes with `system` of `parts`: digests, texts, settings."""
        known = producer, version, system.key
        if known not in self._made:
            self._made[known] = _hasher("made", *known)
        return _key(self._made[known], *(part if isinstance(part, str) else _text(part) for part in parts))

    def coded(self, system: System, utterance: Utterance) -> str:
        """The wave that is scored: coded, converted to the voice of the enrolment, or decoded by somebody else."""
        if system.point.adapter == "published":
            parts = [self.spoken(utterance), self._decoded_file(system, utterance), utterance.aligned]
            return self.made("published", "1", system, parts)
        if utterance.enrolment:
            version = definitions.get("producer:conversion").version
            voice = [self._digests[path] for path in utterance.enrolment]
            return self.made("conversion", version, system, [self.spoken(utterance), *voice])
        return self.made("resynthesis", definitions.get("producer:resynthesis").version, system, [self.spoken(utterance)])

    def _decoded_file(self, system: System, utterance: Utterance) -> str:
        """Hash of the file that somebody else decoded."""
        if system.key not in self._published:
            folder = published.Published(Path(system.point.settings["path"]), system.point.sample_rate)
            self._published[system.key] = folder
        path = self._published[system.key].path_for(utterance.extra.get("output", utterance.id))
        return self._digests[path] if path is not None else "missing"

    def analysis(self, metric: Metric, signal_key: str, language: str, *, decoded: bool = False) -> str:
        """What `metric` finds in one signal by itself."""
        return _key(self._analyses[metric.name, decoded], signal_key, language)

    def score(self, metric: Metric, utterance: Utterance, coded_key: str) -> str:
        """What `metric` finds in an utterance and its coded wave."""
        text = utterance.text if metric.needs_text else None
        return _key(
            self._scores[metric.name], self.reference(utterance), coded_key, utterance.language,
            "" if utterance.aligned else "whole", "no text" if text is None else f"text {text}",
        )  # fmt: skip


class _Digests:
    """Digest by path, looked up by windows of the data set in its order, one by one outside of it."""

    def __init__(self, dataset: Dataset, store: Store) -> None:
        self._dataset, self._store = dataset, store
        self._known: dict[Path, str] = {}
        self._before: dict[Path, str] = {}
        self._next = 0

    def __getitem__(self, path: Path) -> str:
        found = self._known.get(path) or self._before.get(path)
        return found if found is not None else self._look_up(path)

    def _look_up(self, path: Path) -> str:
        everything = self._dataset.utterances
        for start in (self._next, 0):
            if start < len(everything) and path in _paths(everything[start]):
                some = everything[start : start + _WINDOW]
                self._next = start + len(some)
                self._before, self._known = self._known, self._store.file_sha256([p for u in some for p in _paths(u)])
                return self._known[path]
        if len(self._known) > 4 * _WINDOW:
            self._before, self._known = self._known, {}
        self._known |= self._store.file_sha256([path])
        return self._known[path]


def _paths(utterance: Utterance) -> Iterator[Path]:
    yield utterance.path
    if utterance.reference is not None:
        yield utterance.reference
    yield from utterance.enrolment


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _joined(*parts: str) -> bytes:
    # The length before each part keeps ("ab", "c") apart from ("a", "bc").
    return "".join([f"{len(part)}:{part}" for part in parts]).encode()


def _hasher(*parts: str | bytes) -> hashlib._Hash:
    return hashlib.sha256(_joined(*(part if isinstance(part, str) else part.decode() for part in parts)))


def _key(start: hashlib._Hash, *parts: str) -> str:
    digest = start.copy()
    digest.update(_joined(*parts))
    return digest.hexdigest()
