"""Weights of codecs, by kind: shipped with the repository (nano), from a hub or URL (official), a path, random (tests).

Which weights a codec ran with is part of its identity. Nothing is ever substituted: what is asked for is found and its
sha256 checked, or the error says what is missing, where it was looked for and how to provide it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.cards import Point
from bench.content import file_sha256
from bench.errors import UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.homes import cache_dir
from bench.fetch.sources import Source, here, locate

KINDS = ("official", "nano", "random", "path", "none")


@dataclass(frozen=True)
class Weights:
    """Resolved weights. `files` maps a role (the file's name) to a local path; `sha256` has the same keys."""

    kind: str
    files: Mapping[str, Path] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    seed: int = 0

    @property
    def digest(self) -> str:
        """One hash over all files; "random:seed" or "none" where there are none."""
        if self.kind == "random":
            return f"random:{self.seed}"
        if not self.sha256:
            return "none"
        joined = "".join(self.sha256[name] for name in sorted(self.sha256))
        return joined if len(self.sha256) == 1 else hashlib.sha256(joined.encode()).hexdigest()

    @property
    def label(self) -> str:
        """How tables name them: official, nano, random, none, or path:1a2b3c4d."""
        return f"path:{self.digest[:8]}" if self.kind == "path" else self.kind

    @property
    def file(self) -> Path:
        """The only file; raises WeightsInvalid when there are several."""
        if len(self.files) != 1:
            raise WeightsInvalid(f"expected one weights file, got {sorted(self.files) or 'none'} from {self.source}")
        return next(iter(self.files.values()))


def choose(point: Point, profile: str = "embedded") -> str:
    """The kind of weights a profile means for this point: nano where they ship (embedded), official otherwise."""
    if not point.needs_weights:
        return "none"
    if profile == "embedded" and "nano" in point.weights:
        return "nano"
    return "official"


def resolve(point: Point, want: str | None = None, path: Path | str | None = None, *, seed: int = 0) -> Weights:
    """Find the weights `want` (official, nano, random, none, path) for `point`; see the module's promise."""
    if path is not None:
        return _from_path(point, Path(path))
    want = want or choose(point)
    if want not in KINDS:
        raise UnknownName("kind of weights", want, KINDS)
    if want == "none" or not point.needs_weights:
        return Weights("none", source="this codec has no weights")
    if want == "random":
        return Weights("random", source=f"random initialisation, seed {seed}", seed=seed)
    table = point.weights_table(want)
    if table is None:
        have = ", ".join(sorted(point.weights)) or "none: nobody has published any yet"
        raise WeightsMissing(f"{point.name} has no '{want}' weights (its card offers {have}). Give WEIGHTS=PATH.")
    if "file" in table:
        return _from_repository(point, want, table)
    found = locate(replace(source_of(point, want, table), cure=_cure(point, want, table)))
    return Weights(want, found.files, found.sha256, found.origin)


def available(point: Point, want: str) -> bool:
    """Whether `want` weights are on this machine already (no network is touched)."""
    if want in ("none", "random") or not point.needs_weights:
        return True
    table = point.weights_table(want)
    if table is None:
        return False
    if "file" in table:
        return all((point.card.path.parent / name).is_file() for name in _shipped(table))
    return here(source_of(point, want, table))


def by_digest(point: Point, kind: str, digest: str, path: str = "") -> Weights:
    """The weights that another machine knows as (kind, digest), on this one: shipped, cached or fetched as usual.

    path: where weights of kind `path` lay on the other machine (its `Weights.source`), for folders that both see. Weights of
    that kind are also looked for in <cache>/weights/DIGEST/. Raises WeightsMissing, or WeightsInvalid when what is found
    here has another digest.
    """
    if kind == "random":
        return resolve(point, "random", seed=int(digest.removeprefix("random:")))
    if kind == "path":
        copy = cache_dir() / "weights" / digest
        looked = [Path(path)] * bool(path) + [copy]
        try:
            found = next(resolve(point, path=place) for place in looked if place.exists())
        except StopIteration:
            raise WeightsMissing(
                f"{point.name}: weights {digest[:16]}... of a path are not on this machine. Looked in: "
                f"{'; '.join(map(str, looked))}. Cure: keep them in a folder that all machines see, or copy them to {copy}"
            ) from None
    else:
        found = resolve(point, kind)
    if found.digest != digest:
        raise WeightsInvalid(
            f"{point.name}: the {kind} weights of this machine ({found.source}) have digest {found.digest[:16]}..., the job was "
            f"made for {digest[:16]}...: bring both machines to the same revision and files"
        )
    return found


def source_of(point: Point, want: str, table: Mapping[str, Any]) -> Source:
    """What a card's table of weights says, as a source; a table that names no place is one that nothing is found in."""
    urls = dict(table.get("urls", {}))
    if "url" in table:
        urls[table["url"].rsplit("/", 1)[-1]] = table["url"]
    repo: str | None = table.get("repo") or None
    revision: str | None = table.get("revision") or None
    files, digests = tuple(table.get("files") or urls), table.get("sha256") or {}
    # Points of one family may have files of one name: each source keeps its own in a folder of its own.
    kept = repo.replace("/", "--") + (f"@{revision[:12]}" if revision else "") if repo else _short(sorted(urls.items()))
    return Source(
        f"{point.name}: the {want}",
        files,
        repo,
        revision,
        urls,
        dict.fromkeys(files[:1], digests) if isinstance(digests, str) else digests,
        tuple(table.get("search", ())),
        f"{point.family}/{kept}",
    )


def _short(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def _cure(point: Point, want: str, table: Mapping[str, Any]) -> str:
    cure = "pass any folder that holds them: WEIGHTS=FOLDER (make) or --weights FOLDER"
    if table.get("licence_url"):
        cure = f"accept the licence first at {table['licence_url']}, then fetch them, or {cure}"
    others = [kind for kind in point.weights if kind != want and available(point, kind)]
    cure += f"; or use what is here: WEIGHTS={others[0]}" if others else ""
    return f"{cure}. Note: {table['note'].rstrip('.')}" if table.get("note") and not table.get("files") else cure


def _from_path(point: Point, path: Path) -> Weights:
    if path.is_file():
        files = {path.name: path}
    elif path.is_dir():
        files = {item.name: item for item in sorted(path.iterdir()) if item.is_file()}
    else:
        raise WeightsMissing(f"{point.name}: no weights at {path}: give a file or folder that exists")
    return Weights("path", files, {name: file_sha256(item) for name, item in files.items()}, str(path))


def _from_repository(point: Point, want: str, table: Mapping[str, Any]) -> Weights:
    files, digests = {}, {}
    for name, expected in _shipped(table).items():
        path = point.card.path.parent / name
        if not path.is_file():
            raise WeightsMissing(f"{point.name}: the {want} weights are not here: {path} is not there. Cure: git checkout {path}")
        files[path.name], digests[path.name] = path, file_sha256(path)
        if expected and digests[path.name] != expected:
            raise WeightsInvalid(
                f"{path}: sha256 is {digests[path.name][:16]}..., expected {expected[:16]}... (its card). "
                f"The file was changed or cut short: git checkout {path}"
            )
    return Weights(want, files, digests, " and ".join(f"codecs/{name}" for name in _shipped(table)))


def _shipped(table: Mapping[str, Any]) -> dict[str, str | None]:
    """Files beside the cards and their sha256; `file` and `sha256` are one each, or lists of as many."""
    names = [table["file"]] if isinstance(table["file"], str) else list(table["file"])
    digests = table.get("sha256")
    given = [digests] if isinstance(digests, str) else list(digests or [None] * len(names))
    if len(given) != len(names):
        raise WeightsInvalid(f"a card names {len(names)} weights files {names} and {len(given)} sha256: give one for each")
    return dict(zip(names, given, strict=True))
