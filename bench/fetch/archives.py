"""Archives of data sets: fetched, checked, unpacked in a scratch folder, and put in place whole or not at all.

Each folder wanted from an archive is moved with one rename, and only when all of them are there. Where no digest is
published, the one that is seen first is recorded, after a whole and good unpacking, and counts ever after.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import BenchError, DataMissing
from bench.fetch.download import FetchFailed, WrongFile, digest_of, download, read_json
from bench.fetch.files import Record, locked
from bench.fetch.homes import data_home
from bench.fetch.unpack import BROKEN, Unsafe, unpack

_PLAIN_NAME = re.compile(r"[\w(][\w .,()+@=-]{0,199}")
CHECKSUMS = "checksums.json"


@dataclass(frozen=True)
class Archive:
    """An archive at `url`. `digest` is "sha256:..." or "md5:..." (None: none is published, the first one seen counts).

    `places` maps folders and files inside the archive to where they go under the data home; "" is all of it. size: bytes of
    the archive; unpacked: of the files inside; both where they are known. optional: members that may be absent.
    """

    url: str
    places: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    size: int | None = None
    optional: Sequence[str] = ()
    label: str = ""
    unpacked: int | None = None

    @property
    def name(self) -> str:
        """File name: the label if one is given, else the last part of the URL, the query apart.

        Raises DataMissing for a name that is no plain file name, so that no server chooses a place outside the data home.
        """
        name = self.label or self.url.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
        if _PLAIN_NAME.fullmatch(name) is None or name == CHECKSUMS:
            raise DataMissing(
                f"{self.url}: {name!r:.120} is no name for a file in the data home; fetch the archive by hand "
                "and name the unpacked folder as name:PATH"
            )
        return name


def install(archive: Archive, root: Path | None = None) -> Path:
    """Fetch, check and unpack `archive` under `root` (default: the data home); returns `root`.

    Raises DataMissing: no network, not enough disk, a wrong size or digest, an archive that is damaged, encrypted, unsafe,
    larger than declared, or without the folders expected. Nothing of it is then in place, and the next run begins well.
    """
    root = root or data_home()
    with locked(root / f".{archive.name}.install.lock"):
        due = [place for member, place in archive.places.items() if place and member not in archive.optional]
        if due and all((root / place).exists() for place in due):
            return root
        given = (root / archive.name).is_file()
        path = fetch(archive, root)
        try:
            _put_in_place(path, archive, root)
        except (Unsafe, *BROKEN, ValueError, DataMissing) as error:
            why = str(error) if isinstance(error, DataMissing) else f"{path}: cannot be unpacked safely ({_words(error)})"
            raise DataMissing(f"{why}. Nothing of it is in place. {_set_aside(path, given)}") from error
        except OSError as error:
            raise DataMissing(
                f"{path}: cannot be unpacked under {root} ({error.strerror or error}). Make room or set BENCH_DATA to "
                "another disk; the archive is kept, so that the same command goes on from there"
            ) from error
        if archive.digest is None:
            record = Record(root / CHECKSUMS)
            if record.get(archive.url) is None:
                digest = f"sha256:{digest_of(path, 'sha256')}"
                record.put({archive.url: digest})
                print(f"{archive.name}: no checksum is published; {digest} is recorded and checked from now on")
        path.unlink()
    return root


def fetch(archive: Archive, folder: Path) -> Path:
    """The archive's file in `folder`, checked where a digest is known. Goes on from an earlier NAME.part."""
    path = folder / archive.name
    digest = archive.digest or Record(folder / CHECKSUMS).get(archive.url)
    # The unpacked files need room beside the archive; speech that is packed at all shrinks by a fifth or so.
    spare = archive.unpacked if archive.unpacked is not None else (archive.size or 0) * 6 // 5
    try:
        return download(archive.url, path, digest=digest, size=archive.size, spare=spare, cure="BENCH_DATA")
    except WrongFile as error:
        raise DataMissing(
            f"{archive.url}: {error}. Nothing was unpacked. The file upstream has changed or was altered on the "
            f"way; fetch it by hand, check it and put it at {path}"
        ) from error
    except FetchFailed as error:
        raise DataMissing(
            f"cannot download {archive.url} ({error}). Check the network; or fetch it elsewhere and either put the "
            f"archive at {path} or name the unpacked folder as name:PATH"
        ) from error


def zenodo(record: int, place: str, api: str = "https://zenodo.org/api") -> list[Archive]:
    """The archives of a Zenodo record with the sizes and digests that Zenodo itself states; each unpacks to `place`."""
    url = f"{api}/records/{record}"
    try:
        found = [
            Archive(
                _web(f["links"]["self"]).removesuffix("/content") + "/content",
                {"": place},
                f["checksum"],
                int(f["size"]),
                label=f["key"],
            )
            for f in read_json(url)["files"]
            if f["key"].endswith((".zip", ".tar", ".tar.gz", ".tgz"))
        ]
    except (FetchFailed, ValueError, KeyError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, BenchError) else f"its answer is not understood: {error!r}"
        raise DataMissing(
            f"cannot read {url} ({why}). Check the network; or fetch the record by hand and name the unpacked folder as name:PATH"
        ) from error
    for archive in found:
        _ = archive.name  # refused here, before anything is fetched
    return found


def _web(url: str) -> str:
    """`url`, if it is one of the web: what a server says must not name a file of this machine."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"'{url:.100}' is no web address")
    return url


def _put_in_place(path: Path, archive: Archive, root: Path) -> None:
    """Unpack `path` and move what `archive.places` names to its place under `root`, each with one rename."""
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as scratch:
        inside = Path(scratch) / "content"
        inside.mkdir()
        unpack(path, inside, archive.unpacked)
        _move(_moves(path, archive, inside, root))


def _words(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__


def _moves(path: Path, archive: Archive, inside: Path, root: Path) -> list[tuple[Path, Path]]:
    """(unpacked file or folder, its place) of all that is wanted and not there yet."""
    moves: list[tuple[Path, Path]] = []
    for member, place in (archive.places or {"": ""}).items():
        source, target = inside / member, root / place
        if not source.exists():
            if member in archive.optional:
                continue
            raise DataMissing(f"{path} holds no '{member}'; it is not the archive that was expected")
        if target == root:
            moves += [(item, root / item.name) for item in sorted(source.iterdir())]
        else:
            moves.append((source, target))
    return [(source, target) for source, target in moves if not target.exists()]


def _move(moves: list[tuple[Path, Path]]) -> None:
    """All renames, or none."""
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.replace(source)
        raise


def _set_aside(path: Path, given: bool) -> str:
    """What became of an archive that is of no use: removed when it was only just fetched, kept under another name else."""
    if given:
        broken = path.with_name(f"{path.name}.broken")
        path.replace(broken)
        return f"It was there already and is kept as {broken}: run again to fetch it anew"
    path.unlink(missing_ok=True)
    return "It was not kept: run again to fetch it anew, or unpack it by hand and name the folder as name:PATH"
