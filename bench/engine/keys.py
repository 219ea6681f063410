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
from collections.abc import Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cards, definitions, environments, extras, provenance
from bench.cards import Point
from bench.engine.pairing import ZEROS, check
from bench.metrics import Metric
from bench.speech import Dataset, Utterance
from bench.store import Store, key_of

if TYPE_CHECKING:
    from bench.engine.plan import Line

_WINDOW = 1024
"""Utterances whose files are looked up at a time."""


def system_key(point: Point, weights_sha256: str, device: str = "cpu") -> str:
    """Identity of a codec as it runs: settings, digest of its weights, definitions, packages, kind of device.

    Raises PackageMissing.
    """
    if not point.needs_environment:
        extras.require(point.packages, point.name)
    return key_of("system", *_codec(point), weights_sha256, device.split(":")[0])


def _codec(point: Point) -> list[Any]:
    """What a codec's output depends on besides its weights. One that decodes with another codec depends on that too."""
    inner = definitions.wrapped(point)
    return [
        point.name, point.settings, point.sample_rate,
        environments.identity(point) if point.needs_environment else provenance.package_versions(point.packages),
        [one.identity for one in definitions.of_system(point)], _codec(cards.resolve(inner)) if inner else None,
    ]  # fmt: skip


def metric_key(metric: Metric, store: Store, device: str = "cpu") -> str:
    """Identity of a metric as it runs: definition, packages, its own weights, rate, and of a network on another device
    than a CPU that device's kind. Raises WeightsMissing, PackageMissing."""
    extras.require(metric.packages, f"the metric {metric.name}")
    files = list(metric.weights())
    found = store.file_sha256(files)
    weights = sorted((path.name, found[path]) for path in files)
    kind = metric.place(device).split(":")[0]
    return key_of(
        "metric", definitions.metric(metric).identity, metric.rate_hz, weights, definitions.get("audio").identity,
        *(() if kind == "cpu" else (kind,)),
    )  # fmt: skip


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
        paths = [list(u.paths) for u in some]
        found = store.file_sha256(list(chain(*paths)))
        for u, of_one in zip(some, paths, strict=True):
            mix = repr(u.mix) if u.mix is not None else ""
            channel = () if u.channel is None else (f"channel {u.channel}",)
            digest.update(_joined(u.id, *(found[path] for path in of_one), mix, *channel))
    return digest.hexdigest()


class Keys:
    """Keys of every stage of a run of `chosen` metrics. Digests of files are looked up a window at a time (`prepare`).

    device: where metrics with a network run.
    """

    def __init__(self, chosen: Sequence[Metric], store: Store, length: str = ZEROS, device: str = "cpu") -> None:
        self._store = store
        self._digests: dict[Path, str] = {}
        self._before: dict[Path, str] = {}
        rule = _joined(*map(str, definitions.get("lengths").identity[:2]), check(length))
        audio = _text(definitions.get("audio").identity)
        self._input = _hasher("input", audio, _text(definitions.get("mixing").identity))
        self._plain = _hasher("input", audio)
        known = {metric.name: metric_key(metric, store, device) for metric in chosen}
        self._scores = {name: _hasher("score", key, rule) for name, key in known.items()}
        self._analyses = {
            (name, decoded): _hasher("analysis", key, rule if decoded else "")
            for name, key in known.items() for decoded in (False, True)
        }  # fmt: skip
        self._made: dict[tuple[str, str, str], hashlib._Hash] = {}

    def prepare(self, items: Sequence[Utterance]) -> None:
        """Look up the digests of everything that belongs to `items`; only these and the window before stay in memory."""
        self._before, self._digests = self._digests, {}
        paths = {path for u in items for path in u.paths}
        known = {path: self._before[path] for path in paths if path in self._before}
        self._digests = known | self._store.file_sha256([path for path in paths if path not in known])

    def digest(self, path: Path) -> str:
        """sha256 of a file's content, "missing" where there is none."""
        found = self._digests.get(path) or self._before.get(path)
        if found is None:
            found = self._digests[path] = self._store.file_sha256([path])[path]
        return found

    def spoken(self, utterance: Utterance, recording: str = "") -> str:
        """A recording as a codec hears it: the file and, of the utterance's own audio, how it is mixed."""
        content = self._content(utterance, utterance.recording(recording))
        if utterance.mix is None or recording:
            return _key(self._plain, content)
        return _key(self._input, content, repr(utterance.mix))

    def reference(self, utterance: Utterance, against: str = "") -> str:
        """The recording that scores refer to."""
        return _key(self._plain, self._content(utterance, utterance.reference_path(against)))

    def _content(self, utterance: Utterance, path: Path) -> str:
        digest = self.digest(path)
        return digest if utterance.channel is None else f"{digest} channel {utterance.channel}"

    def wave(self, line: Line, utterance: Utterance) -> str:
        """What the producer of `line` makes of an utterance."""
        producer = line.producer
        return self.made(producer.id, producer.version, line.system.key, producer.parts(utterance, self))

    def made(self, producer: str, version: str, system: str, parts: Sequence[Any]) -> str:
        """What a producer makes with the system of this key of `parts`: digests, texts, settings."""
        known = producer, version, system
        if known not in self._made:
            self._made[known] = _hasher("made", *known)
        return _key(self._made[known], *(part if isinstance(part, str) else _text(part) for part in parts))

    def analysis(self, metric: Metric, signal_key: str, language: str, *, decoded: bool = False) -> str:
        """What `metric` finds in one signal by itself."""
        return _key(self._analyses[metric.name, decoded], signal_key, language)

    def score(self, metric: Metric, utterance: Utterance, reference: str, made: str) -> str:
        """What `metric` finds in a wave, against the recording with the key `reference`."""
        text = utterance.text if metric.needs_text else None
        return _key(
            self._scores[metric.name], reference, made, utterance.language,
            "" if utterance.aligned else "whole", "no text" if text is None else f"text {text}",
        )  # fmt: skip


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
