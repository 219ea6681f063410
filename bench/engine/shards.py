"""Shards: what jobs on other machines made, appended to files in a shared folder, one file per task of an array.

A file is a line of JSON about the run and then records, each with its length and checksum, so that a file whose writer was
killed gives everything before the last, cut off record. Entries are known by their content: reading shards in any order, or
twice, leaves the same store.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine.jobs import Report
from bench.errors import BenchError
from bench.store import Store, dumps, loads

MAGIC = b"speech-codec-bench shard 1\n"
SUFFIX = ".shard"
_HEAD = struct.Struct("<II")


class BadShard(BenchError):
    """A file that is no shard, or a shard of another run than its neighbours."""


@dataclass(frozen=True)
class Header:
    """What run a shard belongs to: the digest of its plan, and the words of its command."""

    plan: str
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """The outcome of one job: a report, another result, or the error that it raised."""

    job: str
    report: Report | None = None
    result: bytes = b""
    raised: bytes = b""

    def outcome(self) -> tuple[bool, Any]:
        """(True, result) or (False, exception), as the job's function gave it."""
        if self.raised:
            return False, pickle.loads(self.raised)
        return True, self.report if self.report is not None else pickle.loads(self.result)


class Writer:
    """Appends records to one shard; every record is on the disk when `append` returns."""

    def __init__(self, path: Path, header: Header) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        if self._file.tell() == 0:
            about = {"plan": header.plan, "command": header.command}
            self._file.write(MAGIC + json.dumps(about).encode() + b"\n")

    def append(self, job: str, work: Callable[[Any], Any], argument: Any) -> None:
        """Run `work(argument)` and append what came of it."""
        try:
            made = work(argument)
        except Exception as error:
            value: dict[str, Any] = {"raised": pickle.dumps(error)}
        else:
            if isinstance(made, Report):
                value = {"entries": made.entries, "failures": made.failures}
            else:
                value = {"result": pickle.dumps(made)}
        data = dumps({"job": job} | value)
        try:
            self._file.write(_HEAD.pack(len(data), zlib.crc32(data)) + data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise BenchError(f"{self._file.name}: cannot write ({error}); free some space on the shared disk") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Reader:
    """Reads a shard as far as it is written; reading again goes on from there."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0
        self.header: Header | None = None

    def records(self) -> Iterator[Record]:
        """Whole records that have not been read yet. Raises BadShard for a file that is none, or a damaged record."""
        with self.path.open("rb") as file:
            if self.header is None:
                self._start(file)
                if self.header is None:
                    return
            file.seek(self._at)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                data = file.read(length)
                if len(data) < length:
                    return  # still being written, or cut off
                if zlib.crc32(data) != checksum:
                    raise BadShard(f"{self.path}: the record at byte {self._at} is damaged: delete the file and run again")
                self._at = file.tell()
                yield _record(loads(data))

    def _start(self, file: Any) -> None:
        line = file.read(len(MAGIC))
        if line != MAGIC[: len(line)]:
            raise BadShard(f"{self.path}: is no shard of a run")
        about = file.readline()
        if about.endswith(b"\n"):
            found = json.loads(about)
            self.header = Header(found["plan"], tuple(found["command"]))
            self._at = file.tell()

    @property
    def cut_off(self) -> int:
        """Bytes at the end that are no whole record."""
        return self.path.stat().st_size - self._at


def _record(value: Mapping[str, Any]) -> Record:
    report = None
    if "entries" in value:
        entries = [(key, stage, data) for key, stage, data in value["entries"]]
        report = Report(entries, {key: (kind, detail) for key, (kind, detail) in value["failures"].items()})
    return Record(value["job"], report, value.get("result", b""), value.get("raised", b""))


def find(places: Sequence[Path]) -> list[Path]:
    """The shards that are named, or lie in folders that are named. Raises BadShard when a place holds none."""
    found: list[Path] = []
    for place in places:
        here = sorted(place.rglob(f"*{SUFFIX}")) if place.is_dir() else [place] if place.is_file() else []
        if not here:
            raise BadShard(f"{place}: there is no shard (*{SUFFIX}) here")
        found += here
    return list(dict.fromkeys(path.resolve() for path in found))


@dataclass(frozen=True)
class Absorbed:
    """What was read: the run, entries, failures by key, and files with an end that was cut off."""

    header: Header
    entries: int
    failures: Mapping[str, tuple[str, str]]
    cut_off: tuple[Path, ...]


def absorb(paths: Sequence[Path], store: Store) -> Absorbed:
    """Put what the shards hold into `store`. Raises BadShard, also when they are of several plans; nothing is lost then."""
    readers = [Reader(path) for path in paths]
    header: Header | None = None
    entries, failures, cut = 0, {}, []
    for reader in readers:
        with reader.path.open("rb") as file:
            reader._start(file)
        if reader.header is None:
            cut.append(reader.path)
            continue
        header = header or reader.header
        if reader.header.plan != header.plan:
            raise BadShard(f"{reader.path}: is a shard of another run ({reader.header.plan[:8]}, not {header.plan[:8]})")
    for reader in readers:
        if reader.header is None:
            continue
        for record in reader.records():
            if record.report is not None:
                store.put_raw(record.report.entries)
                entries += len(record.report.entries)
                failures.update(record.report.failures)
        if reader.cut_off:
            cut.append(reader.path)
    if header is None:
        raise BadShard(f"{paths[0]}: the shards hold nothing yet")
    return Absorbed(header, entries, failures, tuple(cut))
