"""Cards: what is known of a codec family, as data (TOML), and the names of operating points such as focalcodec@50.

Cards live in codecs/ of the repository; another package adds its own through the entry point group `bench.cards`, whose
value names a package directory with *.toml, and a folder through `bench.plugins`. `CardFile` and the records below it say which
keys a card may have.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files as package_files
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal

from msgspec import Meta

from bench import plugins, toml
from bench.errors import BadCard, BenchError, UnknownName
from bench.toml import Record

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE / "content" if (PACKAGE / "content").is_dir() else PACKAGE.parent
"""What lies beside the program (codecs/, tasks/, results/): in a checkout, or carried inside an installed package."""
CHECKOUT = PACKAGE.parent == ROOT and (ROOT / "pyproject.toml").is_file()
"""Whether the program runs from a checkout, into which `make gate UPDATE=1` and the like may write."""
CODECS = Path(os.environ.get("BENCH_CODECS", ROOT / "codecs"))

RateHz = Annotated[int, Meta(ge=1000, le=768000)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Size = Annotated[int, Meta(ge=2, le=2**32)]

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RATES_AGREE = 0.02
"""Papers round rates: 0.7 kbps for 25 x 2 x log2(15625)."""
PRECISION_VERSIONS = {"fp16": 2}
"""Raised when what a precision computes changes: part of the key of its results. 1 where it is not named."""


class Stream(Record, frozen=True):
    """One stream of codes: `rate_hz` frames a second (0: once per utterance) of one index for each of `sizes`.

    sizes: entries of each codebook. bits: bits of a frame where it is no set of indices (packets, fields, floats).
    """

    name: str
    rate_hz: NotNegative
    sizes: tuple[Size, ...] = ()
    bits: Positive | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.sizes and self.bits is None:
            raise ValueError(f"stream '{self.name}' has neither 'sizes' (entries of each codebook) nor 'bits' (of a frame)")

    @property
    def frame_bits(self) -> float:
        """Bits of one frame: `bits`, else sum_k log2(sizes[k])."""
        return self.bits if self.bits is not None else sum(math.log2(size) for size in self.sizes)

    @property
    def bits_per_s(self) -> float:
        """rate_hz x frame_bits; 0 for what is sent once per utterance."""
        return self.rate_hz * self.frame_bits


def nominal_bits_per_s(streams: Iterable[Stream], seconds: float | None = None) -> float:
    """Rate by the formula of papers: sum of rate_hz x sum_k log2 V_k (or x `bits`).

    A stream with rate_hz 0 is sent once per utterance: it counts as bits / `seconds`, or not at all without `seconds`.
    """
    rate = once = 0.0
    for stream in streams:
        rate += stream.bits_per_s
        once += 0.0 if stream.rate_hz else stream.frame_bits
    return rate + (once / seconds if seconds else 0.0)


class WeightsTable(Record, frozen=True):
    """Where one kind of weights (official, nano) comes from: `file` (shipped), `repo` (a hub), `url` or `urls`, `search`.

    files: of the repository or folder; left out where their names are not known, with a note on what the user gives.
    voices: synthesizers whose voices were part of the training speech; synthesizers: those that were in other voices than
    speech of theirs that ships. A table marks scores on speech of the same ones.
    bytes: size of the download. gated: the licence must be accepted at the hub first, at `licence_url`.
    """

    repo: str = ""
    revision: str = ""
    files: tuple[str, ...] = ()
    file: str | tuple[str, ...] = ()
    url: str = ""
    urls: Mapping[str, str] = {}
    search: tuple[str, ...] = ()
    sha256: str | tuple[str, ...] | Mapping[str, str] = ()
    bytes: Annotated[int, Meta(gt=0)] | None = None
    licence: str = ""
    licence_url: str = ""
    gated: bool = False
    note: str = ""
    card: str = ""
    voices: tuple[str, ...] = ()
    synthesizers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = [self.sha256] if isinstance(self.sha256, str) else self.sha256
        for digest in given.values() if isinstance(given, Mapping) else given:
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"sha256 '{digest[:70]}' is not 64 hexadecimal digits in lower case")


class PointTable(Record, frozen=True):
    """[points.NAME]: what tells this operating point from the others of its family."""

    bitrate_kbps: Positive | None = None
    sample_rate: RateHz | None = None
    output_rate: RateHz | None = None
    streams: tuple[Stream, ...] = ()
    settings: Mapping[str, Any] = {}
    weights: Mapping[str, WeightsTable] = {}
    latency_ms: NotNegative | None = None
    params_m: Positive | None = None
    macs_g: Positive | None = None
    facts: Mapping[str, Any] = {}
    summary: str = ""

    def __post_init__(self) -> None:
        names = [stream.name for stream in self.streams]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two streams are called '{min(twice)}'; give each a name of its own")
        stated, given = self.bitrate_kbps, nominal_bits_per_s(self.streams) / 1000
        if stated is not None and self.streams and abs(given - stated) > _RATES_AGREE * stated:
            raise ValueError(f"bitrate_kbps is {stated:g}, but the streams make {given:g} kbps; correct one of them")


class Reported(Record, frozen=True):
    """[[reported]]: scores that a paper prints for one operating point, column name -> the printed number.

    line: which of the lines that a task has for the point, as its table calls it: `500 ms chunks`.
    """

    source: str
    data: str
    scores: Annotated[Mapping[str, float], Meta(min_length=1)]
    point: str = "default"
    note: str = ""
    condition: str = ""
    task: str = "resynthesis"
    line: str = ""

    def name(self, point: Point) -> str:
        """How tables call what was scored."""
        return f"{point.name} ({self.line})" if self.line else point.name


class CardFile(Record, frozen=True):
    """One codecs/FAMILY.toml.

    adapter: the file of bench/adapters that reaches the codec; left out, only the numbers in [[reported]] are known.
    sample_rate: Hz that go in; output_rate: Hz that come out, where they differ. packages: distributions it runs with.
    weights: kind -> where it comes from, or "none" for a network whose package carries its own.
    programs: commands that must be on the PATH. requirements, interpreter: pip requirements, and the Python, of an environment
    of its own. precisions: in which the network's weights may be kept instead of float32, asked for by `family@point+precision`.
    """

    family: str
    title: str
    kind: Literal["waveform", "parametric", "neural", "reference"]
    licence: str
    sample_rate: RateHz
    points: Annotated[Mapping[str, PointTable], Meta(min_length=1)]
    adapter: str = ""
    output_rate: RateHz | None = None
    url: str = ""
    paper: str = ""
    causal: bool | None = None
    summary: str = ""
    weights: Mapping[str, WeightsTable] | Literal["none"] = {}
    settings: Mapping[str, Any] = {}
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    interpreter: str = ""
    precisions: tuple[str, ...] = ()
    facts: Mapping[str, Any] = {}
    reported: tuple[Reported, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.family, *self.points, *self.precisions):
            if not _NAME.fullmatch(name):
                raise ValueError(f"the name '{name}' must be of letters, digits and . _ + - and begin with a letter or digit")
        if not self.adapter and not self.reported:
            raise ValueError("key 'adapter' is missing; only a card with [[reported]] numbers can do without one")
        named = [name for name, point in self.points.items() if point.weights]
        if self.weights == "none" and named:
            raise ValueError(f'weights is "none", but [points.{named[0]}.weights] names some; remove one of them')


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
    reported: tuple[Reported, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    precisions: tuple[str, ...] = ()
    path: Path = Path()


@dataclass(frozen=True)
class Point:
    """An operating point: everything that tells one row of the leaderboard from another, weights apart.

    adapter: empty where nothing but reported numbers is known. weights: kind -> the keys of a `WeightsTable` that are set.
    """

    family: str
    point: str
    adapter: str
    kind: str
    sample_rate: int
    settings: Mapping[str, Any]
    bitrate_kbps: float | None
    streams: tuple[Stream, ...]
    weights: Mapping[str, Mapping[str, Any]]
    latency_ms: float | None = None
    params_m: float | None = None
    macs_g: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    interpreter: str = ""
    output_rate: int = 0
    """Hz of the decoded wave; `sample_rate` unless the card says otherwise."""
    carries_weights: bool = False
    """Whether the codec's package brings its weights along (the card says `weights = "none"`)."""

    def __post_init__(self) -> None:
        if not self.output_rate:
            object.__setattr__(self, "output_rate", self.sample_rate)

    @property
    def name(self) -> str:
        """`family@point`, or the family alone for the point called "default"."""
        return self.family if self.point == "default" else f"{self.family}@{self.point}"

    @property
    def card(self) -> Card:
        """The card of the point's family."""
        return load(self.family)

    @property
    def needs_weights(self) -> bool:
        """A network does, whether or not anybody has published any, unless its package carries them."""
        return bool(self.weights) or (self.kind == "neural" and not self.carries_weights)

    @property
    def needs_environment(self) -> bool:
        """Whether the codec runs in a Python environment of its own."""
        return bool(self.requirements or self.interpreter)

    def weights_table(self, kind: str) -> Mapping[str, Any] | None:
        """The card's table for `kind` of weights (official, nano), or None."""
        return self.weights.get(kind)


def parse(path: Path) -> Card:
    """Read and check one card; raises BadCard naming the file and key."""
    made = toml.read(path, CardFile)
    if made.family != path.stem:
        raise BadCard(f"{path}: family '{made.family}' must equal the file's name")
    if made.adapter and made.adapter not in _own_adapters() and made.adapter not in adapters():
        raise BadCard(f"{path}: {UnknownName('adapter', made.adapter, adapters())}")
    points = {name: _point(made, name, table, path) for name, table in made.points.items()}
    for number, entry in enumerate(made.reported, 1):
        if entry.point not in points:
            raise BadCard(f"{path} [reported] entry {number}: {UnknownName('point', entry.point, points)}")
    return Card(
        family=made.family, title=made.title, adapter=made.adapter, kind=made.kind, licence=made.licence,
        sample_rate=made.sample_rate, points=points, url=made.url, paper=made.paper, causal=made.causal,
        summary=made.summary, reported=made.reported, facts=made.facts,
        precisions=made.precisions, path=path,
    )  # fmt: skip


def _point(card: CardFile, name: str, table: PointTable, path: Path) -> Point:
    of_family = {} if card.weights == "none" else card.weights
    weights = {
        kind: _weights(of_family.get(kind), table.weights.get(kind), f"{path} [points.{name}.weights.{kind}]")
        for kind in {**of_family, **table.weights}
    }
    return Point(
        family=card.family, point=name, adapter=card.adapter, kind=card.kind,
        sample_rate=table.sample_rate or card.sample_rate, output_rate=table.output_rate or card.output_rate or 0,
        settings={**card.settings, **table.settings}, bitrate_kbps=table.bitrate_kbps, streams=table.streams,
        weights=weights, latency_ms=table.latency_ms, params_m=table.params_m, macs_g=table.macs_g, facts=table.facts,
        summary=table.summary, packages=card.packages, programs=card.programs, requirements=card.requirements,
        interpreter=card.interpreter, carries_weights=card.weights == "none",
    )  # fmt: skip


def _weights(shared: WeightsTable | None, own: WeightsTable | None, where: str) -> Mapping[str, Any]:
    """A point's table over the family's, key by key, so that a repo is named once and a revision per point."""
    both = {key: value for table in (shared, own) if table is not None for key, value in toml.as_table(table).items()}
    if not both.keys() & {"file", "repo", "url", "urls", "search"}:
        raise BadCard(f"{where}: says no place; give 'file' (in codecs/), 'repo' (of a hub), 'url', 'urls' or 'search'")
    if not both.keys() & {"file", "url", "urls", "files", "note"}:
        raise BadCard(f"{where}: key 'files' is missing; name the files of the repository or folder, or say why not in 'note'")
    return {"files": ()} | both


def adapters() -> dict[str, str]:
    """Adapter name -> module path: ours, other packages' (entry point group `bench.adapters`), plug-ins'. Nothing is imported.

    Raises BadCard for a plug-in's adapter that has the name of another.
    """
    installed = _own_adapters() | {entry.name: entry.value for entry in entry_points(group="bench.adapters")}
    added = plugins.adapters()
    if both := sorted(installed.keys() & added.keys()):
        raise BadCard(f"the plug-in's adapter {both[0]}.py has the name of another adapter ({installed[both[0]]}); rename it")
    return installed | added


@cache
def _own_adapters() -> dict[str, str]:
    folder = Path(__file__).parent / "adapters"
    names = [module.name for module in iter_modules([str(folder)]) if not module.name.startswith("_")]
    return {name: f"bench.adapters.{name}" for name in names}


class Paths(dict[str, Path]):
    """Family -> its card's path. clashes: family -> another card of that name; faults: what could not be looked into."""

    def __init__(self) -> None:
        super().__init__()
        self.clashes: dict[str, Path] = {}
        self.faults: list[BadCard] = []


def paths() -> Paths:
    """Where every card lies: ours, other packages' and plug-ins'. Raises BenchError for a plug-in's folder without a card."""
    return _paths(CODECS, plugins.cards())


@cache
def _paths(codecs: Path, added: tuple[Path, ...]) -> Paths:
    found, folders = Paths(), [codecs]
    for entry in entry_points(group="bench.cards"):
        try:
            folders.append(Path(str(package_files(entry.value))))
        except (ImportError, TypeError) as error:
            found.faults.append(BadCard(f"entry point bench.cards '{entry.name}': {entry.value}: {error}"))
    for path in (*(path for folder in folders for path in sorted(folder.glob("*.toml"))), *added):
        (found.clashes if path.stem in found else found)[path.stem] = path
    return found


@cache
def load(family: str) -> Card:
    """The card of `family`; raises UnknownName with the nearest ones, BadCard."""
    if family not in paths():
        raise UnknownName("codec", family, paths())
    if other := paths().clashes.get(family):
        raise BadCard(f"{other}: the family '{family}' has a card already: {paths()[family]}; rename one")
    return parse(paths()[family])


def readable() -> tuple[list[Card], list[BadCard]]:
    """Every card that can be read, in order of their names, and what is wrong with the others."""
    found, faults = [], list(paths().faults)
    for family in sorted(paths()):
        try:
            found.append(load(family))
        except BadCard as fault:
            faults.append(fault)
    return found, faults


def all_points() -> list[Point]:
    """Every operating point that an adapter reaches, in the cards' order. Raises BadCard."""
    return [point for family in sorted(paths()) for point in load(family).points.values() if point.adapter]


def resolve(name: str) -> Point:
    """`family@point` -> Point. A family with a single point, or one called "default", may be named alone.

    `family@point+precision` is the point with its weights kept in one of its card's precisions: a point of its own by name and
    settings, which no listing names and only this finds.
    """
    family, _, point = name.partition("@")
    card = load(family)
    points = card.points
    if not point and "default" not in points and len(points) == 1:
        return next(iter(points.values()))
    if (point or "default") in points:
        return points[point or "default"]
    plain, plus, precision = point.rpartition("+")
    if not plus or plain not in points:
        raise UnknownName("operating point", name, _names(points.values()))
    if precision not in card.precisions:
        if not card.precisions:
            raise BenchError(f"{name}: weights of {family} are kept in float32 alone; write {family}@{plain}")
        raise UnknownName(f"precision of {family}", precision, card.precisions)
    base = points[plain]
    version = {"precision_version": PRECISION_VERSIONS[precision]} if precision in PRECISION_VERSIONS else {}
    return replace(base, point=point, settings={**base.settings, "precision": precision, **version})


def runnable(name: str) -> Point:
    """`resolve`, for a codec that is to run. Raises BenchError where its card knows reported numbers only."""
    point = resolve(name)
    if not point.adapter:
        raise BenchError(
            f"{point.name}: its card has reported numbers only; there is nothing to run. For audio that its authors "
            "decoded: CODEC=published:FOLDER"
        )
    return point


def _names(points: Iterable[Point]) -> list[str]:
    return [point.name for point in points]
