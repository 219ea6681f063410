"""Systems: operating points with the weights they run with and the device they run on, found by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bench import cards, definitions
from bench.adapters import published
from bench.cards import Point
from bench.data import published as listing
from bench.data import trees
from bench.engine import keys
from bench.errors import BenchError, DataMissing
from bench.fetch import weights
from bench.fetch.weights import Weights


@dataclass(frozen=True)
class System:
    """One line of the leaderboard: an operating point, the weights it ran with and the device it ran on."""

    point: Point
    weights: Weights
    device: str = "cpu"

    @property
    def name(self) -> str:
        """`family@point`."""
        return self.point.name

    @property
    def label(self) -> str:
        """`focalcodec@50 [nano]`; codecs without weights go by their name alone."""
        return self.name if self.weights.kind == "none" else f"{self.name} [{self.weights.label}]"

    @cached_property
    def code_version(self) -> str:
        """Hash of the adapter's and its model's code: evidence beside the key."""
        return definitions.adapter(self.point.adapter).code

    @cached_property
    def key(self) -> str:
        """Identity of the system (see `bench.engine.keys`)."""
        return keys.system_key(self.point, self.weights.digest, self.device)


def resolve(name: str) -> Point:
    """`family@point`, `published:PATH` for audio that somebody else decoded, or `hf:REPO` for an audio tokenizer without a
    card."""
    if name.startswith(published.PREFIX):
        return published.point(name)
    if name.startswith("hf:"):
        from bench.adapters.hf import repository  # imports torch

        return repository.point(name)
    return cards.runnable(name)


def system(name: str, *, profile: str = "embedded", want: str | None = None, device: str = "cpu") -> System:
    """Resolve `family@point` with the weights `want` (a kind, or a path; None: what the profile means)."""
    point = resolve(name)
    if want is None:
        found = weights.resolve(point, weights.choose(point, profile))
    elif want in weights.KINDS:
        found = weights.resolve(point, want if point.needs_weights else "none")
    elif Path(want).exists():
        found = weights.resolve(point, path=want) if point.needs_weights else weights.resolve(point, "none")
    else:
        raise BenchError(f"WEIGHTS={want}: neither a file or folder nor one of {', '.join(weights.KINDS)}")
    return System(point, found, device)


def systems(names: Sequence[str], *, profile: str = "embedded", want: str | None = None, device: str = "cpu") -> list[System]:
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
    unique = {item.label: item for item in told_apart(chosen)}
    return list(unique.values())


def told_apart(chosen: Sequence[System]) -> list[System]:
    """Folders of published audio that end alike are called by the shortest ends of their paths that differ."""
    paths = {trees.place(Path(one.point.settings["path"])) for one in chosen if one.point.adapter == "published"}

    def end(path: Path) -> str:
        # A folder of one name only may lie right below the root.
        ends = ["/".join(path.parts[-count:]) for count in range(1, len(path.parts))] or [path.name]
        for name in ends:
            if sum(f"/{other.as_posix()}".endswith(f"/{name}") for other in paths) == 1:
                return name
        return ends[-1]

    def named(one: System) -> System:
        if one.point.adapter != "published":
            return one
        return replace(one, point=replace(one.point, point=end(trees.place(Path(one.point.settings["path"])))))

    return [named(one) for one in chosen]


def _expanded(name: str) -> list[str]:
    if not name.startswith(published.PREFIX):
        return [name]
    folder = Path(name.removeprefix(published.PREFIX)).expanduser()
    try:
        listing.originals(folder)
        return [f"{published.PREFIX}{path}" for path in listing.systems(folder).values()]
    except DataMissing:  # no originals beside it: one system's own folder
        return [name]
