"""The one downloader: a file at a URL becomes a file on this machine, whole and checked, or is not there.

It is written to NAME.part, which grows over as many attempts, runs and days as it takes; only when its size and digest are
right does it become NAME. A lock makes processes that want the same file fetch it once. Where no digest is known, a part is
gone on with only when the server says that the file is still the one it was begun from (ETag or Last-Modified).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.errors import BenchError
from bench.fetch.files import locked
from bench.fetch.homes import OFFLINE, offline
from bench.progress import Progress

ATTEMPTS = 5
"""Attempts in a row that bring nothing new, before the download is given up."""
BLOCK = 1 << 20
PAUSE_S = 0.2
"""Before the second attempt that brings nothing; doubled each time."""
TIMEOUT_S = 30.0
"""For connecting, and for each wait for the next bytes."""
ANSWER_LIMIT = 32 << 20


class FetchFailed(BenchError):
    """A file that could not be fetched; the message says why, in a few words."""


class WrongFile(FetchFailed):
    """A file whose size or digest is not the one expected; nothing of it is kept."""


def download(
    url: str, path: Path, *, digest: str | None = None, size: int | None = None, spare: int = 0, cure: str = "BENCH_CACHE"
) -> Path:
    """`path`, fetched from `url` (http, https or file) unless it is there. The folder is made when absent.

    digest: "sha256:..." or "md5:..." that the file must have. size: its bytes, where known. spare: bytes that must stay
    free on the disk beside it. cure: the variable that a user sets to move to another disk.
    Raises WrongFile (another size or digest) and FetchFailed (offline, unreachable, not there, no room).
    """
    with locked(path.with_name(f".{path.name}.lock")):
        if path.is_file():
            return path
        if offline():
            raise FetchFailed(f"{OFFLINE} forbids the network: unset it")
        part = _Part(path, cure)
        # A part that was begun from another version of the file fails the check; then one fresh start is due.
        for _ in range(2):
            resumed = part.size > 0 and (digest is not None or part.version() is not None)
            if not resumed:
                part.remove()
            _transfer(url, part, size, spare)
            fault = _fault(part.path, digest, size)
            if fault is None:
                part.path.replace(path)
                part.remove()
                return path
            part.remove()
            if not resumed:
                break
        raise WrongFile(fault)


def read_json(url: str) -> Any:
    """What a small JSON document at `url` says. Raises FetchFailed."""
    if offline():
        raise FetchFailed(f"{OFFLINE} forbids the network: unset it")
    try:
        with _open(url, {}) as response:
            body = response.read(ANSWER_LIMIT + 1)
        if len(body) > ANSWER_LIMIT:
            raise FetchFailed(f"its answer is longer than {ANSWER_LIMIT >> 20} MiB")
        return json.loads(body)
    except urllib.error.HTTPError as error:
        raise FetchFailed(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchFailed(_words(error)) from error


class _Part:
    """The unfinished file beside its place, and the server's name for the version that it was begun from."""

    def __init__(self, target: Path, cure: str) -> None:
        self.path, self.cure = target.with_name(f"{target.name}.part"), cure
        self._version = target.with_name(f".{target.name}.version")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> str | None:
        return (self._version.read_text(encoding="utf-8") or None) if self._version.is_file() else None

    def begin(self, version: str | None) -> None:
        with self.disk():
            self.path.unlink(missing_ok=True)
            self._version.write_text(version or "", encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)

    def room(self, need: int) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < need:
            raise FetchFailed(
                f"it needs {need / 1e9:.1f} GB in {self.path.parent}, {free / 1e9:.1f} GB are free; "
                f"make room or set {self.cure} to another disk"
            )

    @contextmanager
    def disk(self) -> Iterator[None]:
        """Errors of the disk end the download, and a part that fills a disk is not left on it."""
        try:
            yield
        except OSError as error:
            self.remove()
            raise FetchFailed(
                f"{self.path.parent} cannot be written ({error.strerror or error}); make room or set {self.cure} to another disk"
            ) from error


def _transfer(url: str, part: _Part, size: int | None, spare: int) -> None:
    """Append to the part until the server has nothing more to give."""
    why, idle = "", 0
    part.room((size or 0) - part.size + spare)
    while idle < ATTEMPTS:
        if idle:
            time.sleep(PAUSE_S * 2 ** (idle - 1))
        before = part.size
        try:
            if _stream(url, part, size, spare):
                return
            why = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:
                return
            if error.code < 500 and error.code not in (408, 429):
                raise FetchFailed(_kept(f"HTTP {error.code} {error.reason}", part)) from error
            why = f"HTTP {error.code} {error.reason}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = _words(error)
        idle = 0 if part.size > before else idle + 1
    raise FetchFailed(_kept(why, part))


def _stream(url: str, part: _Part, size: int | None, spare: int) -> bool:
    """One request from the part's end on; True when the file is whole as far as the server said."""
    have, version = part.size, part.version()
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and version:
        headers["If-Range"] = version
    with _open(url, headers) as response:
        starts = (response.headers.get("Content-Range") or f"bytes {have}-").removeprefix("bytes ").partition("-")[0]
        if have and (response.status != 206 or starts != str(have)):
            if response.status == 206:
                part.remove()
                raise ValueError("the server gave another part of the file than was asked for")
            have = 0  # the server does not resume, or the file has changed: begin again
        if not have:
            etag = response.headers.get("ETag") or ""
            part.begin(etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified"))
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else size
        if size is not None and total != size:
            part.remove()
            raise WrongFile(f"the server offers {total} bytes, expected {size}")
        part.room((total or 0) - have + spare)
        with Progress(-(-((total or 0) - have) // BLOCK), part.path.stem, "MiB") as bar:
            with part.disk():
                out = part.path.open("ab")
            with out:
                got = 0
                while block := response.read1(BLOCK):
                    with part.disk():
                        out.write(block)
                        out.flush()
                    got, told = got + len(block), -(-got // BLOCK)
                    bar.advance(-(-got // BLOCK) - told)
                    if total is not None and have + got > total:
                        raise ValueError("the server gave more than it said")
        # read1 ends in silence where a connection is cut; the length tells.
        return total is None or part.size >= total


@contextmanager
def _open(url: str, headers: dict[str, str]) -> Iterator[Any]:
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise FetchFailed(f"{url} is no address of a file: it must begin with https://, http:// or file://")
    request = urllib.request.Request(url, headers={"User-Agent": "speech-codec-bench", **headers})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        yield response


def _fault(path: Path, digest: str | None, size: int | None) -> str | None:
    """What is wrong with a downloaded file, None when nothing is."""
    have = path.stat().st_size
    if size is not None and have != size:
        return f"its size is {have} bytes, expected {size}"
    if digest is None:
        return None
    kind, _, wanted = digest.partition(":")
    actual = digest_of(path, kind)
    return None if actual == wanted else f"its {kind} is {actual}, expected {wanted}"


def digest_of(path: Path, kind: str) -> str:
    """The digest of a file in hex, by the function `kind` (sha256, md5). Raises FetchFailed for an unknown one."""
    if kind not in hashlib.algorithms_guaranteed or kind.startswith("shake"):
        raise FetchFailed(f"'{kind}' is no digest that can be checked here")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def _kept(why: str, part: _Part) -> str:
    return f"{why}; {part.size} bytes are kept in {part.path}: run again to go on" if part.size else why


def _words(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return (str(reason).strip().splitlines() or [type(error).__name__])[0][:200]
