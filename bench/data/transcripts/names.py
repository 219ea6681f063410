"""Which audio file a table means: by path, with or without suffix, absolute or relative, or by its bare name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bench.audio import shown
from bench.data.places import AUDIO
from bench.data.transcripts.reading import Entry


class Names:
    """Every ending of the files' paths ("u1", "wavs/u1", "a/wavs/u1") -> the file, where it is only one's."""

    def __init__(self, root: Path, audio: Sequence[Path]) -> None:
        self._root = root
        self._exact: dict[str, Path] = {}
        self._ends: dict[str, Path | None] = {}
        for path in audio:
            name = shown(path.relative_to(root)) if path.is_relative_to(root) else shown(path)
            self._exact[name] = path
            self._exact.setdefault(_bare(name), path)
            for end in {_bare(one) for one in _ends(name)} | set(_ends(name)):
                self._ends[end] = None if self._ends.get(end, path) != path else path

    def file(self, entry: Entry, folder: Path, *, strict: bool) -> Path | None:
        """The file of an entry of a table in `folder`; None when there is none, or several could be meant.

        strict: a path that is relative must be the file's own or its end; otherwise the end of the path is enough, as it
        is for absolute paths, which often tell of another machine.
        """
        for name in (entry.file, entry.id):
            if name and (found := self._named(name, folder, loose=not strict)) is not None:
                return found
        return None

    def _named(self, name: str, folder: Path, *, loose: bool) -> Path | None:
        plain = name.strip().replace("\\", "/")
        while plain.startswith("./"):
            plain = plain[2:]
        absolute = plain.startswith("/") or plain[1:3] == ":/"
        tried = [plain]
        if not absolute and folder != self._root and folder.is_relative_to(self._root):
            tried.insert(0, f"{shown(folder.relative_to(self._root))}/{plain}")
        for one in tried:
            for spelt in (one, _bare(one)):
                if spelt in self._exact:
                    return self._exact[spelt]
        ends = list(_ends(plain)) if loose or absolute else [plain]
        for end in ends:
            for spelt in (end, _bare(end)):
                if spelt in self._ends:
                    return self._ends[spelt]
        return None


def _bare(name: str) -> str:
    """Without the suffix of an audio file."""
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in AUDIO else name


def _ends(name: str) -> Iterator[str]:
    """`a/b/c` -> a/b/c, b/c, c."""
    parts = [part for part in name.split("/") if part]
    return ("/".join(parts[at:]) for at in range(len(parts)))
