"""The fields that rows share: those of their run, of their system, of what measured them.

No path or name of the machine that made them is among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench import definitions, device, provenance
from bench.adapters.published import Published
from bench.data import trees
from bench.engine.keys import engine_key, metric_key
from bench.engine.plan import Plan
from bench.engine.systems import System
from bench.errors import UnknownName
from bench.metrics import Metric
from bench.speech import Dataset
from bench.store import Store, key_of


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


def metric_facts(metric: Metric, store: Store, networks_on: str) -> dict[str, Any]:
    """The fields of a row that are its metric's. networks_on: the device of metrics with a network."""
    return {
        "metric": metric.name, "metric_version": metric.version, "metric_key": metric_key(metric, store, networks_on),
    }  # fmt: skip


def engine_facts() -> dict[str, Any]:
    """The metric's fields of a row that the engine itself measures."""
    return {"metric": "engine", "metric_version": definitions.get("usage").version, "metric_key": engine_key()}
