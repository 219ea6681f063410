"""Tables with a line of column names (metadata.csv of Hugging Face's audiofolder, Common Voice's .tsv), and lines of
`id|text` without one (LJSpeech's metadata.csv, lists of files for training synthesizers)."""

from __future__ import annotations

from pathlib import Path

from bench.data.transcripts.reading import FIELDS, Entry, meanings, rows_of, text_of

SUFFIXES = (".csv", ".tsv", ".txt")


def read(path: Path) -> list[Entry] | None:
    """Its lines; None when it is no such table. Raises BenchError."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    text = text_of(path)
    head = next((line for line in text.split("\n") if line.strip()), "")
    separators = [mark for mark in ("\t", "|", ";", ",") if mark in head]
    for mark in separators:
        if _names_columns(meanings([name.strip('"') for name in head.split(mark)])):
            return _with_head(path, text, mark)
    if "|" in separators:
        return _with_bars(path, text)
    return None


def _names_columns(found: dict[str, int]) -> bool:
    return bool({"file", "id"} & set(found)) and bool(set(FIELDS) & set(found))


def _with_head(path: Path, text: str, mark: str) -> list[Entry]:
    # Common Voice writes quotes as they are; in a .csv they stand around a field.
    lines = rows_of(path, text, mark, quotes=mark in ",;")
    places = meanings(next(lines)[1])
    found: list[Entry] = []
    for number, row in lines:
        cells = {name: row[place].strip() for name, place in places.items() if place < len(row)}
        if cells.get("id") or cells.get("file"):
            found.append(Entry(cells.pop("id", ""), cells.pop("file", ""), f"{path}:{number}", cells))
    return found


def _with_bars(path: Path, text: str) -> list[Entry] | None:
    """`id|text`, `id|text|normalised text` or `file|speaker|text`."""
    rows = list(rows_of(path, text, "|", quotes=False))
    if any(len(row) < 2 for _, row in rows):
        return None
    found: list[Entry] = []
    for number, row in rows:
        cells = [cell.strip() for cell in row]
        spoken = cells[2] if len(cells) > 2 and cells[2] else cells[1]
        fields = {"text": spoken}
        if len(cells) > 2 and cells[2] and not any(c.isspace() for c in cells[1]) and any(c.isspace() for c in cells[2]):
            fields["speaker"] = cells[1]
        found.append(Entry(cells[0], "", f"{path}:{number}", fields))
    return found
