"""Where weights come from: shipped with the repository (nano), a hub or URL (official), a path, or random (tests).

Which weights a codec ran with is part of its identity. Nothing is ever substituted: what is asked for is found and its
sha256 checked, or the error says what is missing, where it was looked for and how to provide it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bench.cards import Point
from bench.errors import UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.files import file_sha256 as file_sha256
from bench.fetch.homes import cache_dir as cache_dir

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
    if "search" in table:
        found = _from_search(point, want, table)
        if found is not None:
            return found
    if "repo" in table:
        return _from_hub(point, want, table)
    if "urls" in table or "url" in table:
        return _from_urls(point, want, table)
    raise WeightsMissing(_missing(point, want, "its card names neither file, repo nor url", table))


def available(point: Point, want: str) -> bool:
    """Whether `want` weights are on this machine already (no network is touched)."""
    if want in ("none", "random") or not point.needs_weights:
        return True
    table = point.weights_table(want)
    if table is None:
        return False
    if "file" in table:
        return all((point.card.path.parent / name).is_file() for name in _shipped(table))
    if "search" in table and _search_folder(table) is not None:
        return True
    if "repo" in table:
        from huggingface_hub import try_to_load_from_cache

        return all(
            isinstance(try_to_load_from_cache(table["repo"], name, revision=table.get("revision")), str)
            for name in table.get("files", ())
        ) and bool(table.get("files"))
    return all((_download_folder(point) / name).is_file() for name in _urls(table))


def _checked(name: str, path: Path, expected: str | None, source: str) -> str:
    actual = file_sha256(path)
    if expected and actual != expected:
        raise WeightsInvalid(
            f"{path}: sha256 is {actual[:16]}..., expected {expected[:16]}... ({name} from {source}). "
            "The file was changed or cut short: delete it and fetch it again."
        )
    return actual


def _from_path(point: Point, path: Path) -> Weights:
    if path.is_file():
        files = {path.name: path}
    elif path.is_dir():
        files = {item.name: item for item in sorted(path.iterdir()) if item.is_file()}
    else:
        raise WeightsMissing(f"{point.name}: no weights at {path}: give a file or folder that exists")
    return Weights("path", files, {name: file_sha256(item) for name, item in files.items()}, str(path))


def _from_repository(point: Point, want: str, table: Mapping[str, Any]) -> Weights:
    shipped = _shipped(table)
    files, digests = {}, {}
    for name, expected in shipped.items():
        path = point.card.path.parent / name
        if not path.is_file():
            raise WeightsMissing(_missing(point, want, f"{path} is not there", table))
        files[path.name], digests[path.name] = path, _checked(path.name, path, expected, "the card")
    return Weights(want, files, digests, " and ".join(f"codecs/{name}" for name in shipped))


def _shipped(table: Mapping[str, Any]) -> dict[str, str | None]:
    """Files beside the cards and their sha256; `file` and `sha256` are one each, or lists of as many."""
    names = [table["file"]] if isinstance(table["file"], str) else list(table["file"])
    digests = table.get("sha256")
    given = [digests] if isinstance(digests, str) else list(digests or [None] * len(names))
    if len(given) != len(names):
        raise WeightsInvalid(f"a card names {len(names)} weights files {names} and {len(given)} sha256: give one for each")
    return dict(zip(names, given, strict=True))


def _search_folder(table: Mapping[str, Any]) -> Path | None:
    """The first of the card's `search` folders that holds every file; ${NAME} is read from the environment."""
    from bench.cards import ROOT

    for entry in table["search"]:
        folder = Path(os.path.expandvars(os.path.expanduser(entry)))
        folder = folder if folder.is_absolute() else ROOT / folder
        if "$" not in str(folder) and all((folder / name).is_file() for name in table["files"]):
            return folder
    return None


def _from_search(point: Point, want: str, table: Mapping[str, Any]) -> Weights | None:
    folder = _search_folder(table)
    if folder is None:
        return None
    expected = table.get("sha256", {})
    files = {name: folder / name for name in table["files"]}
    digests = {name: _checked(name, path, expected.get(name), str(folder)) for name, path in files.items()}
    return Weights(want, files, digests, str(folder))


def _from_hub(point: Point, want: str, table: Mapping[str, Any]) -> Weights:
    from huggingface_hub import hf_hub_download

    # A card that pins no commit gets the one seen at the first download, ever after.
    repo = table["repo"]
    recorded = _Recorded(f"hub {repo}@{table.get('revision', 'main')}")
    revision = table.get("revision") or recorded.get(_COMMIT) or "main"
    source = f"hub {repo}@{revision}"
    files: dict[str, Path] = {}
    digests: dict[str, str] = {}
    for name in table["files"]:
        try:
            files[name] = Path(hf_hub_download(repo, name, revision=revision, local_files_only=not _online()))
        except Exception as error:  # the hub client raises many kinds; each means "not here"
            raise WeightsMissing(_missing(point, want, f"{type(error).__name__} for {repo}/{name}", table)) from error
        if revision == "main":
            revision = files[name].parent.name  # .../snapshots/COMMIT/file
            recorded.put(_COMMIT, revision)
            source = f"hub {repo}@{revision}"
        expected = table.get("sha256", {}).get(name) or recorded.get(name)
        digests[name] = _checked(name, files[name], expected, source)
        recorded.put(name, digests[name])
    return Weights(want, files, digests, source)


@cache
def _online() -> bool:
    """Whether the hub's name resolves: without this question its client tries for half a minute. BENCH_OFFLINE=1 says no."""
    if os.environ.get("BENCH_OFFLINE") or os.environ.get("HF_HUB_OFFLINE"):
        return False
    import socket
    from urllib.parse import urlsplit

    from huggingface_hub.constants import ENDPOINT

    try:
        socket.getaddrinfo(urlsplit(ENDPOINT).hostname, 443)
    except OSError:
        return bool(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"))  # a proxy resolves for us
    return True


def _urls(table: Mapping[str, Any]) -> dict[str, str]:
    return dict(table["urls"]) if "urls" in table else {table["url"].rsplit("/", 1)[-1]: table["url"]}


def _download_folder(point: Point) -> Path:
    return cache_dir() / "weights" / point.family


def _from_urls(point: Point, want: str, table: Mapping[str, Any]) -> Weights:
    import urllib.request

    folder = _download_folder(point)
    expected = table.get("sha256", {})
    files: dict[str, Path] = {}
    digests: dict[str, str] = {}
    for name, url in _urls(table).items():
        path = folder / name
        wanted = expected if isinstance(expected, str) else expected.get(name)
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f"{path.suffix}.{os.getpid()}.part")
            try:
                with urllib.request.urlopen(url, timeout=30) as response, part.open("wb") as out:
                    while block := response.read(1 << 20):
                        out.write(block)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise WeightsMissing(_missing(point, want, f"{error} for {url}", table)) from error
            try:
                _checked(name, part, wanted, url)
            except WeightsInvalid:
                part.unlink()
                raise
            part.replace(path)
        digests[name] = _checked(name, path, wanted, url)
        files[name] = path
    return Weights(want, files, digests, ", ".join(_urls(table).values()))


_COMMIT = "commit"


class _Recorded:
    """Hashes seen at the first download, checked ever after; one small JSON per source."""

    def __init__(self, source: str) -> None:
        self.path = cache_dir() / "hashes" / (hashlib.sha256(source.encode()).hexdigest()[:16] + ".json")
        self.known: dict[str, str] = json.loads(self.path.read_text()) if self.path.is_file() else {}

    def get(self, name: str) -> str | None:
        return self.known.get(name)

    def put(self, name: str, digest: str) -> None:
        if self.known.get(name) == digest:
            return
        self.known[name] = digest
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(self.known))
        part.replace(self.path)


def _missing(point: Point, want: str, what: str, table: Mapping[str, Any]) -> str:
    looked = [str(table[key]) for key in ("file", "search", "repo", "url", "urls") if key in table]
    others = [kind for kind in point.weights if kind != want and available(point, kind)]
    cure = "run once with network, or put the files in a folder and pass WEIGHTS=FOLDER (make) or --weights FOLDER"
    if others:
        cure += f"; or use what is here: WEIGHTS={others[0]}"
    return f"{point.name}: the {want} weights are not here ({what}). Looked in: {'; '.join(looked)}. Cure: {cure}."
