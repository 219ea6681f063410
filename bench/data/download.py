"""Fetching archives: resumed, checked for size and hash before unpacking, unpacked safely, put in place whole.

An archive is written to NAME.part and grows over as many attempts as it takes; only when its size and hash are right
does it become NAME. It is unpacked into a scratch folder beside its destination, and each folder wanted from it is
moved with one rename. A killed download or unpacking therefore leaves nothing that looks finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bench.data.places import home
from bench.errors import DataMissing
from bench.progress import Progress

ATTEMPTS = 5
BLOCK = 1 << 20
TIMEOUT_S = 30.0
OFFLINE = "BENCH_OFFLINE"


@dataclass(frozen=True)
class Archive:
    """An archive at `url`. `digest` is "sha256:..." or "md5:..." (None: none is published, the first one seen counts).

    `places` maps folders and files inside the archive to where they go under the data home; "" is all of it.
    """

    url: str
    places: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    size: int | None = None
    optional: Sequence[str] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """File name: the label if one is given, else the last part of the URL, the query apart."""
        return self.label or self.url.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]


def install(archive: Archive, root: Path | None = None) -> Path:
    """Fetch, check and unpack `archive` under `root` (default: the data home); returns `root`.

    Raises DataMissing: no network, not enough disk, a wrong size or hash, an archive with unsafe or missing members.
    """
    root = root or home()
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f".{archive.name}.lock"):
        due = [place for member, place in archive.places.items() if place and member not in archive.optional]
        if due and all((root / place).exists() for place in due):
            return root
        path = fetch(archive, root)
        unpack(path, archive, root)
        path.unlink()
    return root


def fetch(archive: Archive, folder: Path) -> Path:
    """The archive's file in `folder`, whole and checked. Goes on from an earlier NAME.part."""
    path, part = folder / archive.name, folder / f"{archive.name}.part"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise DataMissing(f"{archive.url} is not here and {OFFLINE} forbids the network; unset it, or put {path} there")
    _room(archive, folder, part)
    # A part left by a server that has since changed its file fails the check; then one fresh start is due.
    for fresh in (False, True):
        if fresh:
            part.unlink(missing_ok=True)
        resumed = part.is_file()
        _download(archive, part)
        fault = _fault(archive, part, folder)
        if fault is None:
            part.replace(path)
            return path
        if not resumed:
            break
    part.unlink(missing_ok=True)
    raise DataMissing(f"{archive.url}: {fault}. Nothing was unpacked. The file upstream has changed or was altered "
                      f"on the way; fetch it by hand, check it and put it at {path}")  # fmt: skip


def _room(archive: Archive, folder: Path, part: Path) -> None:
    if archive.size is None:
        return
    have = part.stat().st_size if part.is_file() else 0
    need, free = 2 * archive.size + archive.size // 5 - have, shutil.disk_usage(folder).free
    if free < need:
        raise DataMissing(f"{archive.name} needs {need / 1e9:.1f} GB under {folder} (archive and unpacked files), "
                          f"{free / 1e9:.1f} GB are free; make room or set BENCH_DATA to another disk")  # fmt: skip


def _download(archive: Archive, part: Path) -> None:
    """Append to `part` until the server has nothing more to give; raises DataMissing when it cannot be reached."""
    error: Exception | None = None
    stalled = 0
    while stalled < ATTEMPTS:
        before = part.stat().st_size if part.is_file() else 0
        try:
            if _stream(archive, part, before):
                return
        except urllib.error.HTTPError as problem:
            if problem.code == 416 and before:
                return
            if problem.code < 500 and problem.code not in (408, 429):
                raise DataMissing(_unreachable(archive, part, f"HTTP {problem.code} {problem.reason}")) from problem
            error = problem
        except (OSError, http.client.HTTPException) as problem:
            error = problem
        after = part.stat().st_size if part.is_file() else 0
        stalled = stalled + 1 if after <= before else 0
    raise DataMissing(_unreachable(archive, part, str(error or "the connection ended early")))


def _stream(archive: Archive, part: Path, have: int) -> bool:
    """One request from byte `have` on; True when the file is whole as far as the server said."""
    request = urllib.request.Request(archive.url, headers={"User-Agent": "speech-codec-bench"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        if have and response.status != 206:
            have = 0  # the server does not resume: begin again
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else archive.size
        if archive.size is not None and total != archive.size:
            raise DataMissing(f"{archive.url}: the server offers {total} bytes, expected {archive.size}. Nothing was "
                              "stored; the file upstream has changed")  # fmt: skip
        due = -(-max(0, (total or 0) - have) // BLOCK)
        with part.open("ab" if have else "wb") as out, Progress(due, archive.name, "MiB") as bar:
            while block := response.read(BLOCK):
                out.write(block)
                bar.advance()
    return total is None or part.stat().st_size >= total


def _unreachable(archive: Archive, part: Path, why: str) -> str:
    kept = f" {part.stat().st_size} bytes are kept in {part}: run again to go on." if part.is_file() else ""
    return (f"cannot download {archive.url} ({why}).{kept} Check the network; or fetch it elsewhere and either put the "
            f"archive at {part.with_suffix('')} or name the unpacked folder as name:PATH")  # fmt: skip


def _fault(archive: Archive, part: Path, folder: Path) -> str | None:
    """What is wrong with the downloaded file, None when it is good."""
    size = part.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"size is {size} bytes, expected {archive.size}"
    kind, _, wanted = (archive.digest or _recorded(folder).get(archive.url) or "sha256:").partition(":")
    with part.open("rb") as stream:
        actual = hashlib.file_digest(stream, kind).hexdigest()
    if not wanted:
        _record(folder, archive.url, f"{kind}:{actual}")
        print(f"{archive.name}: no checksum is published; {kind} {actual} is noted and checked from now on")
        return None
    return None if actual == wanted else f"{kind} is {actual}, expected {wanted}"


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / "checksums.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _record(folder: Path, url: str, digest: str) -> None:
    part = folder / f"checksums.{os.getpid()}.part"
    part.write_text(json.dumps(_recorded(folder) | {url: digest}, indent=1), encoding="utf-8")
    part.replace(folder / "checksums.json")


def zenodo(record: int, place: str, api: str = "https://zenodo.org/api") -> list[Archive]:
    """The archives of a Zenodo record with the sizes and hashes that Zenodo itself states; each unpacks to `place`."""
    url = f"{api}/records/{record}"
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise DataMissing(f"{url} is needed and {OFFLINE} forbids the network; unset it, or fetch the record by hand")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            files = json.load(response)["files"]
        return [
            Archive(f["links"]["self"].removesuffix("/content") + "/content", {"": place}, f["checksum"], f["size"],
                    label=f["key"])
            for f in files if f["key"].endswith((".zip", ".tar", ".tar.gz", ".tgz"))
        ]  # fmt: skip
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise DataMissing(f"cannot read {url} ({type(error).__name__}: {error}). Check the network; or fetch the "
                          f"record by hand and name the unpacked folder as name:PATH") from error  # fmt: skip


def unpack(path: Path, archive: Archive, root: Path) -> None:
    """Unpack `path` and move what `archive.places` names to its place under `root`, each with one rename."""
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as scratch:
        inside = Path(scratch) / "content"
        inside.mkdir()
        try:
            _extract(path, inside)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise DataMissing(f"{path}: cannot be unpacked safely ({error}); delete it and fetch it again") from error
        for member, place in (archive.places or {"": ""}).items():
            source, target = inside / member, root / place
            if not source.exists():
                if member in archive.optional:
                    continue
                raise DataMissing(f"{path} holds no '{member}'; it is not the archive that was expected")
            if target.exists() and target != root:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if target == root:
                for item in sorted(source.iterdir()):
                    if not (root / item.name).exists():
                        item.replace(root / item.name)
            else:
                source.replace(target)


def _extract(path: Path, folder: Path) -> None:
    """Unpack a tar or zip. Members that would leave `folder` (absolute, "..", links, devices) are refused."""
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            tar.extractall(folder, filter="data")
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename.replace("\\", "/"))
            link = (member.external_attr >> 16) & 0o170000 == 0o120000
            if name.is_absolute() or ".." in name.parts or ":" in (name.parts or ("",))[0] or link:
                raise ValueError(f"unsafe member '{member.filename}'")
        archive.extractall(folder)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` as a lock, so that two runs do not fetch one archive at once."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
