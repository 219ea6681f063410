"""What is said in the files of a folder, from the tables that people keep beside them.

`find` reads the first of these that is there, below the folder or at its top:
transcripts.tsv (`own`: this bench's own, checked line by line); else every one of: a .csv or .tsv with a line of column
names (Hugging Face's metadata.csv, Common Voice), lines `id|text` (LJSpeech), Kaldi's wav.scp, text, utt2spk, utt2lang and
spk2gender, JSON lines (NeMo, Lhotse, metadata.jsonl). Files that have no text by then get that of a .txt or .lab beside
them. What was seen and not used is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import languages
from bench.audio import shown
from bench.data.transcripts import beside, json_lines, kaldi, own, tables
from bench.data.transcripts.names import Names
from bench.data.transcripts.reading import FIELDS, Entry
from bench.errors import BenchError, UnknownName

HINT = "texts are read from transcripts.tsv, metadata.csv, Kaldi's text, JSON lines, or a .txt beside the audio"
_READERS: tuple[Callable[[Path], list[Entry] | None], ...] = (tables.read, kaldi.read, json_lines.read)
_SUFFIXES = (
    ".tsv", ".csv", ".json", ".jsonl", ".gz", ".txt", ".lab", ".textgrid", ".srt", ".vtt", ".stm", ".trn", ".mlf",
    ".scp", ".parquet", ".eaf", ".ctm",
)  # fmt: skip
_SHOWN = 5


@dataclass
class Found:
    """Fields by audio file, and what is to be told."""

    rows: dict[Path, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find(root: Path, audio: Sequence[Path], others: Sequence[Path]) -> Found:
    """What is known of the files `audio` below `root`. others: the files beside them. Raises BenchError: one line with the
    file and line at fault."""
    names = Names(root, audio)
    found, used = Found(), set[Path]()
    table = root / own.NAME
    if table in others:
        _take(found, names, table, own.read(table), strict=True)
        used.add(table)
    else:
        for path in sorted(others, key=lambda one: (len(one.parts), one)):
            if any(_of_kind(found, names, path, reader) for reader in _READERS):
                used.add(path)
    used |= beside.fill(found.rows, audio, others)
    _tell(found, root, [path for path in others if path not in used and _is_table(path)])
    return found


def listed(others: Sequence[Path]) -> list[Path]:
    """Audio files that tables name and that lie elsewhere: of a folder that holds none itself."""
    found: dict[Path, None] = {}
    for path in others:
        for reader in _READERS:
            for entry in reader(path) or ():
                place = path.parent / entry.file if entry.file else None
                if place is not None and place.is_file():
                    found[place] = None
    return list(found)


def _of_kind(found: Found, names: Names, path: Path, reader: Callable[[Path], list[Entry] | None]) -> bool:
    entries = reader(path)
    return entries is not None and _take(found, names, path, entries, strict=False)


def _take(found: Found, names: Names, table: Path, entries: Sequence[Entry], *, strict: bool) -> bool:
    """Give the entries to their files. strict: every entry needs one, and no file may come twice."""
    lost: list[Entry] = []
    taken: dict[Path, Entry] = {}
    for entry in entries:
        path = names.file(entry, table.parent, strict=strict)
        if path is None:
            lost.append(entry)
            continue
        if strict and path in taken:
            raise BenchError(f"{entry.where}: '{entry.name}' comes twice")
        taken[path] = entry
        row = found.rows.setdefault(path, {})
        for name in FIELDS:
            if value := entry.fields.get(name, "").strip():
                row.setdefault(name, _language(value, entry) if name == "language" else value)
    if lost and strict:
        some = ", ".join(entry.name for entry in lost[:_SHOWN])
        raise BenchError(f"{table}: no audio file for {some}; ids are paths below {table.parent}, with or without suffix")
    if lost and taken:
        name = table.name
        found.notes.append(f"{shown(name)}: {len(lost)} of its {len(entries)} lines name no file here, '{lost[0].name}' first")
    return bool(taken)


def _language(text: str, entry: Entry) -> str:
    try:
        return languages.code(text)
    except UnknownName as error:
        raise BenchError(f"{entry.where}: {error}") from error


def _is_table(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith(("readme", "licen", "copying", "checksum", "sha256", "md5", ".")):
        return False
    return path.suffix.lower() in _SUFFIXES or name in kaldi.NAMES


def _tell(found: Found, root: Path, unused: Sequence[Path]) -> None:
    if unused:
        some = ", ".join(shown(path.relative_to(root)) for path in unused[:_SHOWN])
        more = f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else ""
        found.notes.append(f"seen and not used: {some}{more} ({HINT})")
