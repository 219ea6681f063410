"""Kaldi's files: wav.scp (utterance -> file), text, utt2spk, utt2lang, spk2gender; and other lists of `id text` lines, such
as LibriSpeech's *.trans.txt."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from bench.data.places import AUDIO
from bench.data.transcripts.reading import Entry, text_of

NAMES = ("text", "wav.scp", "utt2spk", "utt2lang", "utt2gender", "spk2gender", "spk2utt", "segments", "utt2dur")
LISTS = ("text", "text.txt", "trans.txt", "transcript.txt", "transcripts.txt", "transcription.txt", "prompts.txt", "prompts")
_FIELDS = {"utt2spk": "speaker", "utt2lang": "language", "utt2gender": "gender"}


def read(path: Path) -> list[Entry] | None:
    """Entries of one file, with the audio that a wav.scp beside it tells; None when it is none of these. Raises BenchError."""
    name = path.name.lower()
    if name == "wav.scp":
        return [Entry(key, _file(value), where) for key, value, where in _pairs(path)]
    field = "text" if name in LISTS or name.endswith(".trans.txt") else _FIELDS.get(name)
    if name == "spk2gender":
        return _by_speaker(path)
    if field is None:
        return None
    files = _files(path.parent)
    return [Entry(key, files.get(key, ""), where, {field: value}) for key, value, where in _pairs(path)]


def _by_speaker(path: Path) -> list[Entry] | None:
    speakers = path.with_name("utt2spk")
    if not speakers.is_file():
        return None
    files, genders = _files(path.parent), {key: value for key, value, _ in _pairs(path)}
    sexes = {"f": "female", "m": "male"}
    return [
        Entry(key, files.get(key, ""), where, {"gender": sexes.get(genders[who].lower(), genders[who])})
        for key, who, where in _pairs(speakers) if who in genders
    ]  # fmt: skip


def _files(folder: Path) -> dict[str, str]:
    scp = folder / "wav.scp"
    return {key: _file(value) for key, value, _ in _pairs(scp)} if scp.is_file() else {}


def _file(value: str) -> str:
    """The audio file in a wav.scp's value, which may be a command that ends in a bar."""
    if not value.endswith("|"):
        return value
    return next((word for word in value.split() if PurePosixPath(word).suffix.lower() in AUDIO), "")


def _pairs(path: Path) -> list[tuple[str, str, str]]:
    """(key, the rest, file and line) of every line that has both."""
    lines = enumerate(text_of(path).split("\n"), start=1)
    split = ((line.strip().split(None, 1), number) for number, line in lines)
    return [(words[0], words[1].strip(), f"{path}:{number}") for words, number in split if len(words) == 2]
