"""Definitions: everything whose arithmetic decides a number, each with an id, a version and the code behind it.

A module of the package becomes (a part of) a definition by two lines, `DEFINITION = "lengths"` and `VERSION = "1"`; an
adapter is one by its place and its VERSION, a metric and a producer by what they say of themselves. So nothing is listed
here, and what is added is found. Versions are the key of results; whoever changes what a definition computes raises its
version. The hash of the code is evidence (`bench certify`), no key.

A plug-in (an adapter or metric of another package) has no certificates: its key holds the content of its whole package
and the version of its distribution; that of a folder (`bench.plugins`), the files right in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench import adapters, metrics, plugins, provenance
from bench.cards import Point, resolve
from bench.content import package_sha256
from bench.definitions import evidence
from bench.errors import BenchError, UnknownName
from bench.metrics import Metric

_FIELD = re.compile(r'^(DEFINITION|VERSION|WRAPS) = "([^"\n]*)"', re.MULTILINE)
_PACKAGES = re.compile(r"^PACKAGES = \(([^)]*)\)", re.MULTILINE)
ADAPTER, METRIC, PRODUCER = "adapter:", "metric:", "producer:"
PRODUCERS = "bench.engine.producers."


@dataclass(frozen=True)
class Definition:
    """`places`: the modules and the names in them (none: every public name) where its code starts. `content`: of a
    plug-in, the digest of its package and the version of its distribution."""

    id: str
    version: str
    places: tuple[tuple[str, tuple[str, ...]], ...]
    packages: tuple[str, ...] = ()
    content: tuple[str, ...] = ()

    @property
    def plugin(self) -> bool:
        """Whether another package holds the definition."""
        return bool(self.content)

    @property
    def identity(self) -> list[Any]:
        """What of it belongs into a key: id, version, versions of packages, and the content of a plug-in."""
        return [self.id, self.version, provenance.package_versions(self.packages), *self.content]

    @property
    def code(self) -> str:
        """Hash of the code that it reaches; of a plug-in, of its whole package."""
        return self.content[0][:16] if self.plugin else evidence.code_hash(self.places)


def get(name: str) -> Definition:
    """The definition called `name`: audio, lengths, adapter:opus, metric:pesq_wb. Raises UnknownName."""
    if name.startswith(ADAPTER):
        return adapter(name.removeprefix(ADAPTER))
    if name.startswith(METRIC):
        return metric(metrics.find(name.removeprefix(METRIC)))
    if name not in _own():
        raise UnknownName("definition", name, [*_own(), *(ADAPTER + other for other in adapters.targets())])
    return _own()[name]


def every() -> list[Definition]:
    """Every definition of this package and of the plug-ins that are installed."""
    made = [*_own().values(), *(adapter(name) for name in sorted(adapters.targets()))]
    return [*made, *(metric(one) for one in sorted(metrics.every(), key=lambda one: one.name))]


def adapter(name: str) -> Definition:
    """The definition of an adapter. Raises UnknownName, and BenchError when its module tells no version."""
    targets = adapters.targets()
    if name not in targets:
        raise UnknownName("adapter", name, targets)
    module = targets[name]
    if not _is_own(module):
        return Definition(ADAPTER + name, "plug-in", (), content=_plugin("bench.adapters", module))
    fields = _fields(module)
    if "VERSION" not in fields:
        raise BenchError(f'{evidence.path_of(module)}: has no version: add a line VERSION = "1" below its imports')
    return Definition(ADAPTER + name, fields["VERSION"], ((module, ("load",)),))


def metric(one: Metric) -> Definition:
    """The definition of a metric."""
    module = metrics.module_of(one)
    name = METRIC + one.name
    if not _is_own(module):
        return Definition(name, one.version, (), one.packages, _plugin("bench.metrics", module))
    roots = tuple(root for root in ("METRICS", "METRIC") if root in evidence.source(module).bindings)
    return Definition(name, one.version, ((module, roots),), one.packages)


def of_system(point: Point) -> list[Definition]:
    """The definitions that a codec's output depends on: audio, its adapter, and those of a codec that it decodes with."""
    inner = wrapped(point)
    return [get("audio"), adapter(point.adapter), *(of_system(resolve(inner))[1:] if inner else ())]


def versions(some: Iterable[Definition]) -> dict[str, str]:
    """Id -> version, as rows tell it."""
    return {one.id: one.version for one in some}


def wrapped(point: Point) -> str | None:
    """The operating point that this one decodes with: its adapter names the setting that holds it (WRAPS)."""
    module = adapters.targets().get(point.adapter, "")
    setting = _fields(module).get("WRAPS") if _is_own(module) else None
    return str(point.settings[setting]) if setting and setting in point.settings else None


def _is_own(module: str) -> bool:
    return module.startswith(f"{evidence.NAME}.")


def _plugin(group: str, module: str) -> tuple[str, ...]:
    top = module.partition(".")[0].partition(":")[0]
    if top == plugins.PACKAGE:
        return (plugins.content(module), module)
    found = next((entry.dist for entry in entry_points(group=group) if entry.value == module and entry.dist), None)
    return (package_sha256(top), f"{found.name} {found.version}" if found else top)


@cache
def _own() -> Mapping[str, Definition]:
    found: dict[str, Definition] = {}
    for module, path in evidence.modules():
        fields = _fields(module, path)
        if name := fields.get("DEFINITION"):
            packages = tuple(re.findall(r'"([^"]+)"', fields.get("PACKAGES", "")))
            _join(found, name, fields.get("VERSION"), module, (), packages)
        if module.startswith(PRODUCERS):
            for root, named in evidence.constants(module, ("id", "version")).items():
                _join(found, PRODUCER + named["id"], named.get("version"), module, (root,))
    return found


def _join(
    found: dict[str, Definition], name: str, version: str | None, module: str, roots: tuple[str, ...],
    packages: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Add one module's part to a definition, which may have several."""
    before = found.get(name, Definition(name, version or "", ()))
    if not version:
        raise BenchError(f'{evidence.path_of(module)}: the definition "{name}" has no version: add a line VERSION = "1"')
    if version != before.version:
        where = before.places[0][0]
        raise BenchError(f'"{name}" has version {before.version} in {where} and {version} in {module}: make them equal')
    found[name] = Definition(name, version, (*before.places, (module, roots)), (*before.packages, *packages))


def _fields(module: str, path: Path | None = None) -> dict[str, str]:
    """DEFINITION, VERSION, WRAPS and PACKAGES of a module, read from its text: nothing is imported."""
    path = path or evidence.path_of(module)
    if path is None:
        return {}
    text = path.read_text(encoding="utf-8")
    found = dict(_FIELD.findall(text))
    if packages := _PACKAGES.search(text):
        found["PACKAGES"] = packages.group(1)
    return found


def own() -> Iterator[Definition]:
    """Those that this package's code answers for: plug-ins apart."""
    return (one for one in every() if not one.plugin)
