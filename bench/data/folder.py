"""Any folder of audio files, with the transcripts that lie beside them: `folder:PATH`.

Ids are relative paths without suffix (bytes that are not UTF-8 are written as \\xe9). The speaker is the one that a table
names, else the folder that a file lies in (`wavs`, `clips`, `test` and the like are no speakers), else "unknown". What is
said is read from transcripts.tsv, metadata.csv, Kaldi's text, JSON lines or a .txt beside the audio, see
`bench.data.transcripts`. Files without a line are kept. A folder that cannot be listed stands for what it holds, as an
utterance that fails. A folder without audio whose table names files elsewhere stands for those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import languages
from bench.audio import shown
from bench.data import Source, transcripts
from bench.data.places import AUDIO, audio_files, unreadable, walk
from bench.errors import BenchError, DataMissing, UnknownName
from bench.speech import Dataset, Utterance

LANGUAGE = "en"
"""What is taken for granted where nobody says a language."""
NO_SPEAKERS = frozenset((
    "audio", "audios", "wav", "wavs", "wave", "waves", "flac", "mp3", "ogg", "clip", "clips", "data", "recordings", "sound",
    "sounds", "speech", "files", "raw", "train", "test", "dev", "valid", "validation", "eval", "wav16", "wav24", "wav48",
    "16k", "24k", "48k", "original", "originals", "reference", "references", "gt", "groundtruth", "ground_truth", "clean",
))  # fmt: skip
"""Names of folders that say what lies in them, not who speaks."""


def load(source: Source, language: str = "") -> Dataset:
    """Every audio file under PATH; with subsets, of those folders below it only.

    language: of files of which none is said; without it they count as English, which is told. Raises DataMissing for a
    folder without audio, BenchError for a table at fault.
    """
    if source.path is None:
        raise DataMissing("folder needs a path: DATA=folder:/my/recordings")
    root = source.path
    if not root.is_dir():
        raise DataMissing(f"folder:{root}: there is no such folder")
    every, closed = audio_files(root), unreadable(root)
    others = [path for path in walk(root).files if path.suffix.lower() not in AUDIO]
    every = every or transcripts.listed(others)
    files = _chosen(source, root, every)
    closed = [path for path in closed if not source.subsets or path.relative_to(root).parts[0] in source.subsets]
    if not files:
        reason = f"; {closed[0]} cannot be listed" if closed else f" ({', '.join(AUDIO)})"
        raise DataMissing(f"folder:{root}: holds no audio files{reason}")
    found = transcripts.find(root, every, others)
    ids: dict[str, Path] = {}
    for path in [*files, *closed]:
        name = _id(path, root)
        if (first := ids.setdefault(name, path)) != path:
            raise BenchError(f"folder:{root}: {name} is there twice, as {first.suffix} and {path.suffix}; keep one of them")
    asked = languages.code(language) if language else ""
    utterances = tuple(_utterance(root, name, path, found.rows.get(path, {}), asked or LANGUAGE) for name, path in ids.items())
    without = 0 if asked else sum(not found.rows.get(path, {}).get("language") for path in files)
    title = source.title().replace("folder", f"folder-{shown(root.resolve().name)}", 1)
    return Dataset(
        title, utterances, root=root, condition="paired" if any(u.reference for u in utterances) else "clean",
        notes=(*found.notes, *hints(utterances, without)),
    )  # fmt: skip


def hints(utterances: Sequence[Utterance], without: int) -> list[str]:
    """What was taken for granted of a user's speech: one speaker for all, and English where no language is said."""
    found: list[str] = []
    count, speakers = len(utterances), {u.speaker for u in utterances}
    if count > 1 and len(speakers) == 1:
        found.append(
            f"all {count} utterances count as one speaker, '{speakers.pop()}'; name the speakers in a column `speaker` or by one "
            "folder each, because intervals are drawn over speakers"
        )
    return [*found, *unsaid(without, count)]


def unsaid(without: int, count: int) -> list[str]:
    """The hint for utterances whose language nobody said: metrics that are bound to one take it for English."""
    if not without:
        return []
    which = "all utterances" if without == count else f"{without} of {count} utterances"
    cure = "LANGUAGE=de or a column `language` says another"
    return [f"no language is said of {which}: error rates take them for English; {cure}"]


def _chosen(source: Source, root: Path, every: Sequence[Path]) -> list[Path]:
    if not source.subsets:
        return list(every)
    for subset in source.subsets:
        if not (root / subset).is_dir():
            raise UnknownName(f"folder below {root}", subset, [p.name for p in root.iterdir() if p.is_dir()])
    return [path for path in every if path.is_relative_to(root) and path.relative_to(root).parts[0] in source.subsets]


def _id(path: Path, root: Path) -> str:
    name = shown(path.relative_to(root)) if path.is_relative_to(root) else shown(path).lstrip("/")
    return Path(name).with_suffix("").as_posix() if path.suffix.lower() in AUDIO else f"{name}/"


def _utterance(root: Path, name: str, path: Path, row: Mapping[str, str], language: str) -> Utterance:
    reference = root / row["reference"] if row.get("reference") else None
    if reference is not None and not reference.is_file():
        raise BenchError(f"{root / transcripts.own.NAME}: the reference of {name}, {reference}, is not there")
    return Utterance(
        name, path, row.get("speaker") or _speaker(root, path), row.get("text") or None,
        row.get("language") or language, row.get("gender") or None, row.get("accent") or None,
        row.get("emotion") or None, reference=reference,
    )  # fmt: skip


def _speaker(root: Path, path: Path) -> str:
    """The nearest folder below `root` that can be a person."""
    parents = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else path.parts[-2:-1]
    return next((shown(part) for part in reversed(parents) if part.lower() not in NO_SPEAKERS), "unknown")
