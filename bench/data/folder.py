"""Any folder of audio files, with an optional transcripts.tsv: `folder:PATH`.

Ids are relative paths without suffix (bytes that are not UTF-8 are written as \\xe9); the speaker is the folder that a file
lies in, else "unknown". transcripts.tsv
(tab separated, first line the column names) has `id` or `file` and any of: text, speaker, language, gender, accent,
emotion, reference (the clean recording, relative to PATH). Files without a line are kept. A folder that cannot be listed
stands for what it holds, as an utterance that fails.
"""

from __future__ import annotations

import csv
from pathlib import Path

from bench.audio import shown
from bench.data import Source
from bench.data.places import AUDIO, audio_files, unreadable
from bench.errors import BenchError, DataMissing, UnknownName
from bench.speech import Dataset, Utterance

TABLE = "transcripts.tsv"
COLUMNS = ("id", "file", "text", "speaker", "language", "gender", "accent", "emotion", "reference")


def load(source: Source, language: str = "en") -> Dataset:
    """Every audio file under PATH; with subsets, of those folders below it only.

    language: of files whose line names none (ISO 639-1). Raises DataMissing for a folder without audio and BenchError
    for a table that names files which are not there.
    """
    if source.path is None:
        raise DataMissing("folder needs a path: DATA=folder:/my/recordings")
    root = source.path
    if not root.is_dir():
        raise DataMissing(f"folder:{root}: there is no such folder")
    files = audio_files(root)
    if source.subsets:
        for subset in source.subsets:
            if not (root / subset).is_dir():
                raise UnknownName(f"folder below {root}", subset, [p.name for p in root.iterdir() if p.is_dir()])
        files = [path for path in files if path.relative_to(root).parts[0] in source.subsets]
    closed = [path for path in unreadable(root) if not source.subsets or path.relative_to(root).parts[0] in source.subsets]
    if not files:
        reason = f"; {closed[0]} cannot be listed" if closed else " (.wav, .flac, .ogg, .mp3, .aiff)"
        raise DataMissing(f"folder:{root}: holds no audio files{reason}")
    files += closed
    rows = table(root / TABLE) if (root / TABLE).is_file() else {}
    ids = {_id(path, root): path for path in files}
    if len(ids) != len(files):
        raise BenchError(f"folder:{root}: two files differ by suffix only; keep one of each")
    every = set(ids) if not source.subsets else {_id(path, root) for path in audio_files(root)}
    unknown = [name for name in rows if name not in every]
    if unknown:
        raise BenchError(f"{root / TABLE}: no audio file for {', '.join(unknown[:5])}; ids are paths without suffix")
    found = tuple(_utterance(root, name, path, rows.get(name, {}), language) for name, path in ids.items())
    references = any(u.reference for u in found)
    title = source.title().replace("folder", f"folder-{shown(root.resolve().name)}", 1)
    return Dataset(title, found, root=root, condition="paired" if references else "clean")


def _id(path: Path, root: Path) -> str:
    name = shown(path.relative_to(root))
    return Path(name).with_suffix("").as_posix() if path.suffix.lower() in AUDIO else f"{name}/"


def _utterance(root: Path, name: str, path: Path, row: dict[str, str], language: str) -> Utterance:
    parents = [shown(part) for part in path.relative_to(root).parts[:-1]]
    reference = root / row["reference"] if row.get("reference") else None
    if reference is not None and not reference.is_file():
        raise BenchError(f"{root / TABLE}: the reference of {name}, {reference}, is not there")
    return Utterance(
        name, path, row.get("speaker") or (parents[-1] if parents else "unknown"), row.get("text") or None,
        row.get("language") or language, row.get("gender") or None, row.get("accent") or None,
        row.get("emotion") or None, reference=reference,
    )  # fmt: skip


def table(path: Path) -> dict[str, dict[str, str]]:
    """transcripts.tsv as id -> row. Raises BenchError for unknown columns, no id column, or an id that comes twice."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, restkey="?", restval="")
        names = reader.fieldnames or []
        for name in names:
            if name not in COLUMNS:
                raise BenchError(f"{path}: {UnknownName('column', name, COLUMNS)}")
        if "id" not in names and "file" not in names:
            raise BenchError(f"{path}: the first line must name the columns, with `id` or `file` among them")
        rows: dict[str, dict[str, str]] = {}
        for number, row in enumerate(reader, start=2):
            if "?" in row:
                raise BenchError(f"{path}:{number}: more fields than columns; text must not hold tabs")
            name = row.get("id") or Path(row.get("file", "")).with_suffix("").as_posix()
            if name in rows:
                raise BenchError(f"{path}:{number}: '{name}' comes twice")
            rows[name] = {key: (value or "").strip() for key, value in row.items()}
    return rows
