"""JSON: NeMo's manifests, Lhotse's cuts, supervisions and recordings, metadata.jsonl, SpeechBrain's dictionaries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.data.transcripts.reading import ALIAS, FIELDS, LONGEST, Entry, text_of
from bench.errors import BenchError

SUFFIXES = (".json", ".jsonl", ".jsonl.gz", ".manifest", ".ndjson")


def read(path: Path) -> list[Entry] | None:
    """Its objects that name an audio file or an id with a text; None when there are none. Raises BenchError."""
    if not path.name.lower().endswith(SUFFIXES):
        return None
    found: list[Entry] = []
    for where, one in _objects(path):
        entry = _entry(one, where)
        if entry is not None:
            found.append(entry)
    return found or None


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    text = text_of(path)
    try:
        whole = json.loads(text)
    except ValueError:
        yield from _lines(path, text)
        return
    except RecursionError:
        return
    items = whole.items() if isinstance(whole, Mapping) and not _names_audio(whole) else enumerate(
        whole if isinstance(whole, list) else [whole]
    )  # fmt: skip
    for key, value in items:
        if isinstance(value, Mapping):
            yield str(path), ({"id": key} if isinstance(key, str) else {}) | dict(value)
        elif isinstance(key, str) and isinstance(value, str):
            yield str(path), {"id": key, "text": value}


def _lines(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    begun = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
        except ValueError as error:
            if not begun:  # JSON of another kind, or none
                return
            raise BenchError(f"{path}:{number}: is no JSON ({error}); every line must hold one object") from error
        if isinstance(one, Mapping):
            begun = True
            yield f"{path}:{number}", one


def _names_audio(one: Mapping[str, Any]) -> bool:
    return any(ALIAS.get(str(name).lower()) == "file" for name in one) or "recording" in one or "sources" in one


def _entry(one: Mapping[str, Any], where: str) -> Entry | None:
    flat = _flat(one)
    found: dict[str, str] = {}
    for name in sorted((name for name in flat if name in ALIAS), key=list(ALIAS).index):
        value = flat[name]
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            found.setdefault(ALIAS[name], str(value).strip())
    if max(map(len, found.values()), default=0) > LONGEST:
        raise BenchError(f"{where}: a field has more than {LONGEST:,} characters; is this a list of texts?")
    if not ({"id", "file"} & set(found)) or not ({"file", *FIELDS} & set(found)):
        return None
    return Entry(found.pop("id", ""), found.pop("file", ""), where, found)


def _flat(one: Mapping[str, Any]) -> dict[str, Any]:
    """An object with what Lhotse nests (recording, supervisions) and Hugging Face's {"path": ...} at its top. A part of a
    recording (an offset, several supervisions) is left without text, as its text is not that of the file."""
    flat = {str(name).lower(): value for name, value in one.items()}
    recording = flat.pop("recording", None)
    sources = flat.pop("sources", None) or (recording.get("sources") if isinstance(recording, Mapping) else None)
    if isinstance(sources, list) and sources and isinstance(sources[0], Mapping):
        flat["file"] = sources[0].get("source", "")
    elif not any(ALIAS.get(name) == "file" for name in flat) and flat.get("recording_id"):
        flat["file"] = flat["recording_id"]
    spoken = flat.pop("supervisions", None)
    if isinstance(spoken, list) and len(spoken) == 1 and isinstance(spoken[0], Mapping):
        inner = {str(name).lower(): value for name, value in spoken[0].items() if str(name).lower() not in ("id", "start")}
        flat = inner | flat
    if isinstance(flat.get("audio"), Mapping):
        flat["audio"] = flat["audio"].get("path", "")
    if any(isinstance(flat.get(name), int | float) and flat[name] > 0 for name in ("offset", "start")):
        flat = {name: value for name, value in flat.items() if ALIAS.get(name) != "text"}
    return flat
