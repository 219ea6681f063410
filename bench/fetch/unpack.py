"""Unpacking an archive into an empty folder, and nowhere else: tar (plain, gz, bz2, xz) and zip.

Only regular files and folders below the target are written. Refused, each by name: absolute paths, "..", drives, links,
devices, encrypted members, and archives that unpack to more than is plausible: more than `RATIO` times their own size (speech
shrinks by less than ten), more than `MEMBERS` files, or more than the disk has room for. A tar is read to its very end, so
that one cut short, or with a wrong checksum, is noticed.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

RATIO = 20
FLOOR = 64 << 20
"""Bytes that any archive may unpack to, however small it is."""
MEMBERS = 5_000_000
BLOCK = 1 << 20
SPARE = 64 << 20
"""Bytes that stay free on the disk."""

BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile, RuntimeError)
"""What the libraries raise for damaged archives, OSError and ValueError apart."""


class Unsafe(ValueError):
    """An archive that is refused; the message says which member and why."""


def unpack(path: Path, folder: Path, unpacked: int | None = None) -> None:
    """Unpack `path` into the empty `folder`. unpacked: bytes that its files take, where they are declared.

    Raises Unsafe, one of `BROKEN`, or OSError (a full disk, a name too long); the folder then holds a part of it.
    """
    if zipfile.is_zipfile(path) and not _begins_as_tar(path):
        with zipfile.ZipFile(path) as archive:
            _zip(archive, _Budget(path, folder, unpacked))
        return
    with path.open("rb") as raw:
        stream = _Counted(_opened(raw), _Budget(path, folder, unpacked))
        with tarfile.open(fileobj=cast(Any, stream), mode="r|") as tar:
            _tar(tar, _Budget(path, folder, unpacked))
            stream.finish(tar.offset)


class _Budget:
    """Where members go, and how much they may still take."""

    def __init__(self, path: Path, folder: Path, unpacked: int | None) -> None:
        self.folder = folder
        size = path.stat().st_size
        self.limit = unpacked + FLOOR if unpacked is not None else max(FLOOR, RATIO * size)
        self.told = f"{size} bytes that unpack to more than {self.limit}"
        self.taken = self.members = 0

    def take(self, size: int) -> None:
        self.taken += size
        if self.taken > self.limit:
            raise Unsafe(f"it is far larger than declared: {self.told}")

    def place(self, name: str, size: int) -> Path:
        """Where a member goes, after a look at its name and size."""
        self.members += 1
        if self.members > MEMBERS:
            raise Unsafe(f"it has more than {MEMBERS} members")
        self.take(max(0, size))
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or ":" in "".join(parts[:1]) or any(ord(letter) < 32 for letter in name):
            raise Unsafe(f"unsafe member '{name!r:.200}'")
        self.room(size)
        return self.folder.joinpath(*parts)

    def room(self, size: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if size + SPARE > free:
            raise OSError(errno.ENOSPC, f"the disk is too small: {size / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free")


def _write(source: IO[bytes], target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        shutil.copyfileobj(source, out, BLOCK)
    if target.stat().st_size != size:
        raise EOFError(f"'{target.name}' has {target.stat().st_size} bytes, its header says {size}")


def _zip(archive: zipfile.ZipFile, budget: _Budget) -> None:
    members = archive.infolist()
    # All names and sizes are looked at before the first byte is written.
    places = [budget.place(_slashes(member), 0 if member.is_dir() else member.file_size) for member in members]
    budget.room(budget.taken)
    for member, place in zip(members, places, strict=True):
        kind = (member.external_attr >> 16) & 0o170000
        if kind not in (0, 0o100000, 0o040000):
            raise Unsafe(f"unsafe member '{member.filename:.200}': neither a file nor a folder")
        if member.flag_bits & 1:
            raise Unsafe(f"'{member.filename:.200}' is encrypted: unpack it by hand with its password")
        if member.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        try:
            with archive.open(member) as source:
                _write(source, place, member.file_size)
        except NotImplementedError as error:
            raise Unsafe(f"'{member.filename:.200}' is packed in a way that is not known here ({error})") from error


def _slashes(member: zipfile.ZipInfo) -> str:
    return member.filename.replace("\\", "/")


def _tar(tar: tarfile.TarFile, budget: _Budget) -> None:
    for member in tar:
        place = budget.place(member.name, member.size if member.isreg() else 0)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            source = tar.extractfile(member)
            assert source is not None
            _write(source, place, member.size)
        else:
            raise Unsafe(f"unsafe member '{member.name:.200}': a link or a device")


def _begins_as_tar(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(512)
    return head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"))


def _opened(raw: IO[bytes]) -> IO[bytes]:
    head = raw.read(6)
    raw.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if head.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(raw))
    if head == b"\xfd7zXZ\x00":
        return cast(IO[bytes], lzma.LZMAFile(raw))
    return raw


class _Counted:
    """A stream of unpacked bytes that may not grow past the budget, and whose end is looked at."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self.stream, self.budget = stream, budget
        self.length = self.filled = 0
        """Bytes read, and how many there are up to the last one that is not zero."""

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        # Headers and padding of many small files weigh more than the files: half as much again is allowed for them.
        self.budget.take(len(block) * 2 // 3)
        if inside := len(block.rstrip(b"\0")):
            self.filled = self.length + inside
        self.length += len(block)
        return block

    def finish(self, end: int) -> None:
        """Read on to the very end, where checksums are checked. A whole tar is empty from `end` on, its last header."""
        while self.read(BLOCK):
            pass
        if self.length < end + tarfile.BLOCKSIZE:
            raise EOFError("it ends before its end: the file was cut short")
        if self.filled > end:
            raise tarfile.ReadError(f"it is damaged at byte {end}")
