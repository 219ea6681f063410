"""Where the files of one set of weights may come from: folders of this machine, the cache, the hub, a URL.

They are looked for in that order, and nothing else is ever taken in their place: what is found is checked against its
sha256 (the stated one, else the one recorded at the first download), or the error says what is missing and how to get it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.cards import ROOT
from bench.content import file_sha256
from bench.errors import WeightsInvalid, WeightsMissing
from bench.fetch import hub
from bench.fetch.download import FetchFailed, WrongFile, download
from bench.fetch.files import Record
from bench.fetch.homes import cache_dir


@dataclass(frozen=True)
class Source:
    """Where the files of one set of weights come from. `sha256` and `urls` by file name, where they are known.

    name: what messages call them, "weights" following it. kept: folder below the cache's weights/. search: folders of this
    machine, best first, with ${NAME} read from the environment. revision: a commit of `repo`; None is the one seen first.
    cure: said last when they are missing.
    """

    name: str
    files: tuple[str, ...]
    repo: str | None = None
    revision: str | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    search: Sequence[str] = ()
    kept: str = ""
    cure: str = ""

    @property
    def folder(self) -> Path:
        """Where downloads from URLs are kept, and where a user may put the files by hand."""
        return cache_dir() / "weights" / self.kept

    @property
    def origin(self) -> str:
        """Where they come from, for people: the repository's page and revision, or the URLs."""
        if self.repo:
            return hub.page(self.repo) + (f" at revision {self.revision}" if self.revision else "")
        return ", ".join(self.urls.values())


@dataclass(frozen=True)
class Found:
    """Files of a source on this machine, with their sha256, by name; `origin` says where they were found."""

    files: Mapping[str, Path]
    sha256: Mapping[str, str]
    origin: str

    @property
    def folder(self) -> Path:
        """The folder that holds all files, for loaders that want one."""
        return self.paths[0].parent

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in the order of the source."""
        return tuple(self.files.values())


def for_metric(
    name: str,
    files: Sequence[str],
    *,
    repo: str | None = None,
    revision: str | None = None,
    urls: Mapping[str, str] | None = None,
    sha256: Mapping[str, str] | None = None,
) -> Source:
    """Weights of a metric that no package carries: also looked for in $BENCH_METRIC_WEIGHTS/NAME/."""
    return Source(
        f"{name}: the metric's",
        tuple(files),
        repo,
        revision,
        urls or {},
        sha256 or {},
        (f"${{BENCH_METRIC_WEIGHTS}}/{name}",),
        f"metrics/{name}",
        f"set BENCH_METRIC_WEIGHTS to a folder that holds {name}/ with {', '.join(files)}",
    )


def locate(source: Source) -> Found:
    """Every file of `source`, fetched where it must be. Raises WeightsMissing (with the cure) or WeightsInvalid (sha256)."""
    folder = _local(source)
    if folder is not None:
        return _checked(source, {name: folder / name for name in source.files}, folder == source.folder)
    if not source.files or not (source.repo or source.urls):
        raise missing(source, "the names of their files are not known" if source.origin else "no repository or URL is named")
    try:
        if source.repo is not None:
            found = hub.snapshot(source.repo, source.files, source.revision, source.sha256)
            return Found(found.files, found.sha256, f"hub {found.repo}@{found.commit}")
        return _from_urls(source)
    except WrongFile as error:
        raise WeightsInvalid(
            f"{source.name} weights: {source.origin} gives another file than expected: {error}. It was not kept. "
            "Check where it comes from before you trust it."
        ) from error
    except FetchFailed as error:
        raise missing(source, str(error)) from error


def here(source: Source) -> bool:
    """Whether all files are on this machine (no network is touched, nothing heavy is imported, no digest is computed)."""
    if _local(source) is not None:
        return True
    return source.repo is not None and hub.here(source.repo, source.files, source.revision)


def missing(source: Source, why: str) -> WeightsMissing:
    """The error that says what is missing, where it was looked for and what to do."""
    looked = [*source.search, str(source.folder), source.origin]
    known = [f"{name} has sha256 {digest}" for name, digest in source.sha256.items()]
    text = (
        f"{source.name} weights are not here ({why}). Looked in: {'; '.join(filter(None, looked))}. Cure: run once with network"
    )
    if source.origin and source.files:
        text += f", or download {', '.join(source.files)} from there into {source.folder}"
    return WeightsMissing(". ".join([f"{text}{', or ' if source.cure else ''}{source.cure}", *known]) + ".")


def _local(source: Source) -> Path | None:
    """The first folder of this machine that holds every file; an entry whose ${NAME} is not set counts for nothing."""
    for entry in [*source.search, str(source.folder)]:
        text = os.path.expandvars(os.path.expanduser(entry))
        folder = ROOT / text  # an absolute text stays what it is
        if "$" not in text and source.files and all((folder / name).is_file() for name in source.files):
            return folder
    return None


def _checked(source: Source, files: Mapping[str, Path], downloaded: bool) -> Found:
    """downloaded: into the cache, and so what the record says; any other folder is the user's own affair."""
    record = Record(_record_of_urls()).read() if downloaded else {}
    digests = {name: file_sha256(path) for name, path in files.items()}
    for name, path in files.items():
        expected = source.sha256.get(name) or record.get(source.urls.get(name, ""))
        if expected is not None and digests[name] != expected:
            raise WeightsInvalid(
                f"{path}: sha256 is {digests[name][:16]}..., expected {expected[:16]}... ({source.name} weights). "
                "The file was changed or cut short: delete it and fetch it again."
            )
    return Found(files, digests, source.origin if downloaded else str(next(iter(files.values())).parent))


def _from_urls(source: Source) -> Found:
    record = Record(_record_of_urls())
    files: dict[str, Path] = {}
    for name in source.files:
        if name not in source.urls:
            raise FetchFailed(f"nobody offers {name}")
        url = source.urls[name]
        expected = source.sha256.get(name) or record.get(url)
        files[name] = download(url, source.folder / name, digest=f"sha256:{expected}" if expected else None)
        record.put({url: file_sha256(files[name])})
    return _checked(source, files, True)


def _record_of_urls() -> Path:
    return cache_dir() / "recorded" / "urls.json"
