"""Files of a Hugging Face repository, all of one commit, through the hub's own client and cache.

A repository's files are known by a commit and by their sha256. Where a card names no commit, the one that is seen first is
recorded with the digests of its files and is the one used ever after; a line says so. Whatever is in the hub's cache is
used without network. A file that is not the one expected is refused, and forgotten when it has only just come.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from bench.content import file_sha256
from bench.errors import WeightsInvalid
from bench.fetch.download import FetchFailed
from bench.fetch.files import Record, locked
from bench.fetch.homes import OFFLINE, cache_dir, offline

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Snapshot:
    """Files of one commit: `files` and `sha256` by their names in the repository."""

    repo: str
    commit: str
    files: Mapping[str, Path]
    sha256: Mapping[str, str]


def snapshot(repo: str, files: Sequence[str], revision: str | None = None, sha256: Mapping[str, str] | None = None) -> Snapshot:
    """`files` of `repo` (user/name) at `revision`; fetched where the hub's cache lacks them.

    revision: a commit; None (or a branch or tag) is the commit recorded at its first use, or the newest one at the first.
    sha256: digests by file name; without one, the digest recorded at the first use of that commit counts.
    Raises FetchFailed (one line: not there, gated, no network, no room) and WeightsInvalid (another digest).
    """
    record = _record(repo)
    pinned = _commit(record, revision)
    # What was settled before needs no lock and no writing: a cache may be read only.
    seen = {f"{pinned}/{name}" for name in files} <= record.read().keys()
    settled = pinned is not None and seen and here(repo, files, revision)
    with nullcontext() if settled else locked(record.path.with_suffix(".lock")):
        pinned = _commit(record, revision)
        commit = pinned or (_ref(repo, revision) if here(repo, files, revision) else None)
        found: dict[str, Path] = {}
        digests: dict[str, str] = {}
        for name in files:
            old = commit is not None and _cached(repo, commit, name) is not None
            path = found[name] = _download(repo, name, commit or revision, record)
            commit = commit or path.parents[len(PurePosixPath(name).parts) - 1].name  # .../snapshots/COMMIT/NAME
            digests[name] = file_sha256(path)
            expected = (sha256 or {}).get(name) or record.get(f"{commit}/{name}")
            if expected is not None and expected != digests[name]:
                raise WeightsInvalid(_changed(path, name, repo, commit, digests[name], expected, old))
        assert commit is not None, "a repository is asked for at least one file"
        now = {f"{commit}/{name}": digest for name, digest in digests.items()}
        record.put(now if _is_commit(revision) else {**now, _wish(revision): commit})
        if pinned is None:
            print(
                f"{repo} is asked for without a commit: {commit}, the one seen first, is recorded in {record.path} "
                "and used from now on",
                file=sys.stderr,
            )
    return Snapshot(repo, commit, found, digests)


def here(repo: str, files: Sequence[str], revision: str | None = None) -> bool:
    """Whether all `files` are in the hub's cache (no network is touched, nothing heavy is imported)."""
    commit = _commit(_record(repo), revision) or _ref(repo, revision)
    return commit is not None and bool(files) and all(_cached(repo, commit, name) is not None for name in files)


def page(repo: str) -> str:
    """The repository's page, for people."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"


def _record(repo: str) -> Record:
    return Record(cache_dir() / "recorded" / (re.sub(r"[^\w.-]", "--", repo) + ".json"))


def _is_commit(revision: str | None) -> bool:
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def _wish(revision: str | None) -> str:
    return f"commit of {revision}" if revision else "commit"


def _commit(record: Record, revision: str | None) -> str | None:
    return revision if _is_commit(revision) else record.get(_wish(revision))


def _folder(repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def _cached(repo: str, commit: str, name: str) -> Path | None:
    path = _folder(repo) / "snapshots" / commit / name
    return path if path.is_file() else None


def _ref(repo: str, revision: str | None) -> str | None:
    """The commit that the hub's cache last saw under a branch or tag; of several snapshots none is guessed."""
    from huggingface_hub import constants

    path = _folder(repo) / "refs" / (revision or constants.DEFAULT_REVISION)
    return path.read_text().strip() if path.is_file() else None


def _download(repo: str, name: str, revision: str | None, record: Record) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, name, revision=revision, local_files_only=not _online()))
    except Exception as error:  # the hub's client raises many kinds; each is told in one line
        raise FetchFailed(_why(error, repo, name, revision, record)) from error


@cache
def _reachable(endpoint: str) -> bool:
    """Whether the hub's name resolves: without this question its client tries for half a minute."""
    import os
    import socket
    from urllib.parse import urlsplit

    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, urlsplit(endpoint).port or 443)
    except OSError:
        return bool(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"))  # a proxy resolves for us
    return True


def _online() -> bool:
    from huggingface_hub import constants

    return not offline() and not constants.is_offline_mode() and _reachable(constants.ENDPOINT)


def _why(error: Exception, repo: str, name: str, revision: str | None, record: Record) -> str:
    """One line for whatever the hub's client raised: what is wrong, and the cure where there is one."""
    from huggingface_hub import constants, errors

    at, known = f" at revision {revision}" if revision else "", set(record.read().values())
    site, token = page(repo), "give a token of yours in HF_TOKEN (or run `hf auth login`)"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated: open {site}, accept its licence there, and {token}"
    if isinstance(error, errors.DisabledRepoError):
        return f"{repo} was closed by the hub or its authors: see {site}"
    if isinstance(error, errors.RevisionNotFoundError):
        recorded = f"; {record.path} recorded it: delete that file to take their newest" if revision in known else ""
        return f"{repo} has no revision {revision} any more{recorded}"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{repo} has no file {name}{at}"
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return f"there is no repository {site}, or it is private: check the name, or {token}"
    if status == 403:
        return f"{site} refuses access (HTTP 403): accept its licence there if it has one, and {token}"
    if status is not None:
        return f"{site} answers HTTP {status}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        if offline() or constants.is_offline_mode():
            return f"{repo}/{name}{at} is not in the hub's cache and {OFFLINE} or HF_HUB_OFFLINE forbids the network"
        if not _reachable(constants.ENDPOINT):
            return f"{repo}/{name}{at} is not in the hub's cache and {constants.ENDPOINT} cannot be reached"
        cause = getattr(getattr(error.__cause__, "response", None), "status_code", None)
        says = f"answers HTTP {cause}" if cause else "does not answer"
        return f"{repo}/{name}{at} is not in the hub's cache and {site} {says}"
    return f"{type(error).__name__} for {repo}/{name}: {(str(error).strip().splitlines() or [''])[0][:200]}"


def _changed(path: Path, name: str, repo: str, commit: str, actual: str, expected: str, old: bool) -> str:
    text = f"{path}: sha256 is {actual[:16]}..., expected {expected[:16]}... ({name} of {repo}@{commit}). "
    if old:
        return f"{text}The file was changed or cut short: delete it and fetch it again."
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
    return f"{text}The hub now gives another file for this commit; it was not kept. Check the repository before you trust it."
