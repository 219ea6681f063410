"""Cards: what is known of a codec family, as data (TOML), and the names of operating points such as focalcodec@50.

Cards live in codecs/ of the repository; another package adds its own through the entry point group `bench.cards`, whose
value names a package directory with *.toml. Unknown keys are errors.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from bench.errors import BadCard, UnknownName

ROOT = Path(__file__).resolve().parent.parent
CODECS = Path(os.environ.get("BENCH_CODECS", ROOT / "codecs"))

_CARD_KEYS = {
    "family", "title", "adapter", "kind", "licence", "url", "paper", "sample_rate", "causal", "summary",
    "weights", "settings", "points", "reported", "facts", "packages", "baseline",
}  # fmt: skip
_CARD_NEEDS = ("family", "title", "adapter", "kind", "licence", "sample_rate", "points")
_POINT_KEYS = {
    "bitrate_kbps", "settings", "weights", "streams", "latency_ms", "params_m", "macs_g", "facts", "summary",
    "sample_rate",
}  # fmt: skip
_STREAM_KEYS = {"name", "rate_hz", "sizes", "bits", "note"}
_REPORTED_KEYS = {"point", "source", "data", "scores", "note", "condition", "task"}
_WEIGHTS_KEYS = {
    "repo",
    "revision",
    "files",
    "sha256",
    "file",
    "url",
    "urls",
    "licence",
    "note",
    "card",
    "search",
    "bytes",
}
_KINDS = ("waveform", "parametric", "neural", "reference")


@dataclass(frozen=True)
class Reported:
    """Scores that a paper prints for one operating point; `scores` maps a column name to the printed number."""

    point: str
    source: str
    data: str
    scores: Mapping[str, float]
    note: str = ""
    condition: str = ""
    task: str = "resynthesis"


@dataclass(frozen=True)
class Card:
    """One codec family, as its TOML says."""

    family: str
    title: str
    adapter: str
    kind: str
    licence: str
    sample_rate: int
    points: Mapping[str, Point]
    url: str = ""
    paper: str = ""
    causal: bool | None = None
    summary: str = ""
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reported: tuple[Reported, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    path: Path = Path()


@dataclass(frozen=True)
class Point:
    """An operating point: everything that tells one row of the leaderboard from another, weights apart."""

    family: str
    point: str
    adapter: str
    kind: str
    sample_rate: int
    settings: Mapping[str, Any]
    bitrate_kbps: float | None
    streams: tuple[Mapping[str, Any], ...]
    weights: Mapping[str, Mapping[str, Any]]
    latency_ms: float | None = None
    params_m: float | None = None
    macs_g: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`family@point`, or the family alone for the point called "default"."""
        return self.family if self.point == "default" else f"{self.family}@{self.point}"

    @property
    def card(self) -> Card:
        return load(self.family)

    @property
    def needs_weights(self) -> bool:
        """A network always does, whether or not anybody has published any."""
        return bool(self.weights) or self.kind == "neural"

    def weights_table(self, kind: str) -> Mapping[str, Any] | None:
        """The card's table for `kind` of weights (official, nano), or None."""
        return self.weights.get(kind)


def _check(table: Mapping[str, Any], allowed: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise BadCard(f"{where}: {UnknownName('key', key, allowed)}")


def parse(path: Path) -> Card:
    """Read and check one card; raises BadCard naming the file and key."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadCard(f"{path}: {error}") from error
    _check(raw, _CARD_KEYS, str(path))
    for key in _CARD_NEEDS:
        if key not in raw:
            raise BadCard(f"{path}: key '{key}' is missing")
    if raw["kind"] not in _KINDS:
        raise BadCard(f"{path}: kind '{raw['kind']}' is none of {', '.join(_KINDS)}")
    if raw["family"] != path.stem:
        raise BadCard(f"{path}: family '{raw['family']}' must equal the file's name")
    weights = raw.get("weights", {})
    for kind, table in weights.items():
        _check(table, _WEIGHTS_KEYS, f"{path} [weights.{kind}]")
    points = {str(name): _point(raw, str(name), table, path) for name, table in raw["points"].items()}
    reported = tuple(_reported(entry, points, path) for entry in raw.get("reported", ()))
    return Card(
        family=raw["family"], title=raw["title"], adapter=raw["adapter"], kind=raw["kind"], licence=raw["licence"],
        sample_rate=raw["sample_rate"], points=points, url=raw.get("url", ""), paper=raw.get("paper", ""),
        causal=raw.get("causal"), summary=raw.get("summary", ""), weights=weights, reported=reported,
        facts=raw.get("facts", {}), path=path,
    )  # fmt: skip


def _point(raw: Mapping[str, Any], name: str, table: Mapping[str, Any], path: Path) -> Point:
    where = f"{path} [points.{name}]"
    _check(table, _POINT_KEYS, where)
    for stream in table.get("streams", ()):
        _check(stream, _STREAM_KEYS, f"{where} streams")
    own = table.get("weights", {})
    for kind, entry in own.items():
        _check(entry, _WEIGHTS_KEYS, f"{where} weights.{kind}")
    shared = raw.get("weights", {})
    # A point's table overrides the family's key by key, so that a repo is named once and a revision per point.
    weights = {kind: {**shared.get(kind, {}), **own.get(kind, {})} for kind in {**shared, **own}}
    return Point(
        family=raw["family"], point=name, adapter=raw["adapter"], kind=raw["kind"],
        sample_rate=table.get("sample_rate", raw["sample_rate"]),
        settings={**raw.get("settings", {}), **table.get("settings", {})},
        bitrate_kbps=table.get("bitrate_kbps"), streams=tuple(table.get("streams", ())), weights=weights,
        latency_ms=table.get("latency_ms"), params_m=table.get("params_m"), macs_g=table.get("macs_g"),
        facts=table.get("facts", {}), summary=table.get("summary", ""),
        packages=tuple(raw.get("packages", ())),
    )  # fmt: skip


def _reported(entry: Mapping[str, Any], points: Mapping[str, Point], path: Path) -> Reported:
    _check(entry, _REPORTED_KEYS, f"{path} [[reported]]")
    point = str(entry.get("point", "default"))
    if point not in points:
        raise BadCard(f"{path} [[reported]]: {UnknownName('point', point, points)}")
    return Reported(**{**entry, "point": point})


@cache
def paths() -> dict[str, Path]:
    """Family -> its card's path, ours and other packages'."""
    folders = [CODECS, *(Path(str(package_files(entry.value))) for entry in entry_points(group="bench.cards"))]
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            if path.stem in found:
                raise BadCard(f"{path}: the family '{path.stem}' has a card already: {found[path.stem]}")
            found[path.stem] = path
    return found


@cache
def load(family: str) -> Card:
    """The card of `family`; raises UnknownName with the nearest ones."""
    if family not in paths():
        raise UnknownName("codec", family, paths())
    return parse(paths()[family])


def all_points() -> list[Point]:
    """Every operating point of every card, in the cards' order."""
    return [point for family in sorted(paths()) for point in load(family).points.values()]


def resolve(name: str) -> Point:
    """`family@point` -> Point. A family with a single point, or one called "default", may be named alone."""
    family, _, point = name.partition("@")
    card = load(family)
    if not point:
        if "default" in card.points:
            return card.points["default"]
        if len(card.points) == 1:
            return next(iter(card.points.values()))
        raise UnknownName("operating point", name, (p.name for p in card.points.values()))
    if point not in card.points:
        raise UnknownName("operating point", name, (p.name for p in card.points.values()))
    return card.points[point]
