"""A data set of the Hugging Face hub, or one in its form on this machine: `hf:NAME[:SPLIT][#CONFIG]`.

NAME is `owner/name` on the hub, a folder that `datasets.load_dataset` reads (audiofolder, Parquet), or one that
`save_to_disk` wrote. SPLIT is `test` where there is such, else the only one. The set needs a column of audio; text, speaker,
language and gender are read from columns with the usual names. The files' bytes are kept as they are below the cache.
Package: datasets (the extra `hf`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import languages
from bench.audio import shown
from bench.data import Source
from bench.data.folder import LANGUAGE, hints
from bench.data.transcripts.reading import FIELDS, meanings
from bench.errors import BenchError, DataMissing, UnknownName
from bench.fetch.files import write_bytes
from bench.fetch.homes import OFFLINE, cache_dir, offline
from bench.speech import Dataset, Utterance

FORM = "hf:NAME[:SPLIT][#CONFIG]"
USUAL_SPLIT = "test"
_STARTS = ((b"RIFF", ".wav"), (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3"))
_LANGUAGE = re.compile(r"[a-z]{2}([-_][A-Za-z]{2,4})*")


def load(source: Source, language: str = "") -> Dataset:
    """Every utterance of a split. language: where no column says it, see `bench.data.folder`. Raises DataMissing, BenchError."""
    if source.path is None:
        raise DataMissing(f"hf needs a name: DATA={FORM}, for example hf:google/fleurs:test#de_de")
    if len(source.subsets) > 1:
        raise BenchError(f"{source.title()}: has one configuration at a time: {FORM}")
    name, split = _name_and_split(str(source.path))
    config = source.subsets[0] if source.subsets else None
    table, split = _table(name, split, config)
    columns = list(table.column_names)
    places = {field: columns[place] for field, place in meanings(columns).items()}
    audio = _audio_column(table, name)
    asked = languages.code(language) if language else _of_config(config)
    read: list[tuple[str, str, Path, dict[str, str]]] = []  # id, stem of the file, file, what is known
    for row in table:
        cells = {field: _cell(table, row, places[field]) for field in ("id", *FIELDS) if field in places}
        cells["language"] = _said(cells.get("language", ""), f"hf:{name}, row {len(read)}") or asked
        stem = Path(str(row[audio]["path"] or "")).stem
        read.append((cells.pop("id", ""), stem, _file(row[audio]), cells))
    ids = _ids([key for key, *_ in read], [stem for _, stem, *_ in read])
    utterances = [
        Utterance(
            key, path, cells.get("speaker") or "unknown", cells.get("text") or None, cells["language"] or LANGUAGE,
            cells.get("gender") or None, cells.get("accent") or None, cells.get("emotion") or None,
        )
        for key, (_, _, path, cells) in zip(ids, read, strict=True)
    ]  # fmt: skip
    without = sum(not cells["language"] for *_, cells in read)
    title = "-".join(["hf", shown(Path(name).resolve().name if Path(name).exists() else name), *filter(None, (config,)), split])
    licence = str(table.info.license or "unknown")
    return Dataset(title, tuple(utterances), licence=licence, notes=tuple(hints(utterances, without)))


def _name_and_split(text: str) -> tuple[str, str | None]:
    if Path(text).exists():
        return text, None
    name, colon, split = text.rpartition(":")
    return (name, split) if colon else (text, None)


def _table(name: str, split: str | None, config: str | None) -> tuple[Any, str]:
    """The rows of a split with their audio not decoded, and the split's name."""
    try:
        import datasets
    except ImportError as error:
        raise BenchError(f"hf:{name} needs the package datasets: pip install datasets (the extra `hf`)") from error

    datasets.disable_progress_bars()
    here = Path(name).is_dir()
    if not here and offline():
        raise DataMissing(f"hf:{name}: there is no such folder, and {OFFLINE} forbids the network; unset it to use the hub")
    try:
        if here and any((Path(name) / mark).is_file() for mark in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(name)
            known = list(loaded) if isinstance(loaded, datasets.DatasetDict) else []
            chosen = _split(name, split, known) if known else split or str(loaded.split or "all")
            found = loaded[chosen] if known else loaded
        else:
            chosen = _split(name, split, datasets.get_dataset_split_names(name, config))
            found = datasets.load_dataset(name, config, split=chosen)
    except BenchError:
        raise
    except Exception as error:  # whatever the package meets: no such set, no network, a broken file
        told = (str(error) or type(error).__name__).strip().split("\n")[0][:200]
        raise DataMissing(f"hf:{name}: cannot be loaded ({told}); check the name: {FORM}") from error
    for column, feature in found.features.items():
        if isinstance(feature, datasets.Audio):
            found = found.cast_column(column, datasets.Audio(decode=False))
    return found, chosen


def _split(name: str, wanted: str | None, known: list[str]) -> str:
    if wanted:
        if wanted.partition("[")[0] not in known:  # test[:10] is a part of test
            raise UnknownName(f"split of hf:{name}", wanted, known)
        return wanted
    if USUAL_SPLIT in known:
        return USUAL_SPLIT
    if len(known) == 1:
        return known[0]
    raise BenchError(f"hf:{name}: has the splits {', '.join(known)}; name one: hf:{name}:{known[0]}")


def _audio_column(table: Any, name: str) -> str:
    found = [column for column, feature in table.features.items() if type(feature).__name__ == "Audio"]
    if not found:
        raise BenchError(f"hf:{name}: has no column of audio, only {', '.join(table.column_names)}")
    return "audio" if "audio" in found else found[0]


def _ids(*candidates: list[str]) -> list[str]:
    """The first of several lists of names that are all there and all different; else the places of the rows."""
    count = len(candidates[0])
    return next(
        (names for names in candidates if all(names) and len(set(names)) == count), [f"{place:06d}" for place in range(count)]
    )


def _cell(table: Any, row: Mapping[str, Any], column: str) -> str:
    value, feature = row[column], table.features[column]
    if value is None:
        return ""
    return str(feature.int2str(value) if hasattr(feature, "int2str") and isinstance(value, int) else value).strip()


def _said(text: str, where: str) -> str:
    try:
        return languages.code(text)
    except UnknownName as error:
        raise BenchError(f"{where}: {error}") from error


def _of_config(config: str | None) -> str:
    """The language that a configuration is named after: de, de_de."""
    try:
        return languages.code(config) if config and _LANGUAGE.fullmatch(config) else ""
    except UnknownName:
        return ""


def _file(audio: Mapping[str, Any]) -> Path:
    """The audio of a row as a file: where it lies, or its bytes below the cache under their digest."""
    path, data = Path(str(audio["path"] or "")), audio["bytes"]
    if data is None:
        return path
    digest = hashlib.sha256(data).hexdigest()
    place = cache_dir() / "hf" / digest[:2] / f"{digest[2:34]}{path.suffix.lower() or _suffix(data)}"
    if not place.is_file():
        write_bytes(place, data)
    return place


def _suffix(data: bytes) -> str:
    return next((suffix for start, suffix in _STARTS if data.startswith(start)), ".wav")
