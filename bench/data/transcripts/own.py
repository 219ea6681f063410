"""transcripts.tsv, this bench's own table: tab separated, first line the column names, in any case.

It has `id` or `file` and any of text, speaker, language, gender, accent, emotion, reference (the clean recording, relative
to the folder). Ids are paths, with or without suffix, or absolute. It is checked: an unknown column, an empty or doubled
id, a line that names no file, or too many fields is an error that names the line.
"""

from __future__ import annotations

from pathlib import Path

from bench.data.transcripts.reading import FIELDS, Entry, rows_of, text_of
from bench.errors import BenchError, UnknownName

NAME = "transcripts.tsv"
COLUMNS = ("id", "file", *FIELDS)


def read(path: Path) -> list[Entry]:
    """Its lines. Raises BenchError."""
    lines = rows_of(path, text_of(path), "\t", quotes=False)
    _, head = next(lines, (0, []))
    names = [name.strip().lower() for name in head]
    if "id" not in names and "file" not in names:
        raise BenchError(f"{path}: the first line must name the columns, separated by tabs, with `id` or `file` among them")
    for name in names:
        if name not in COLUMNS:
            raise BenchError(f"{path}: {UnknownName('column', name, COLUMNS)}")
    found: list[Entry] = []
    for number, row in lines:
        where = f"{path}:{number}"
        if len(row) > len(names):
            raise BenchError(f"{where}: more fields than columns; text must not hold tabs")
        cells = {name: cell.strip() for name, cell in zip(names, row)}
        if not cells.get("id") and not cells.get("file"):
            raise BenchError(f"{where}: the id is empty; name the audio file")
        found.append(Entry(cells.pop("id", ""), cells.pop("file", ""), where, cells))
    return found
