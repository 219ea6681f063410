"""Lines of text files, and one entry of a table. A file that is no UTF-8 is refused in one line, with its cure."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import BenchError

FIELDS = ("text", "speaker", "language", "gender", "accent", "emotion", "reference")
"""What a table may tell of an utterance."""
LONGEST = 131_072
"""Characters of a field; a longer one is a quote that was never closed, or no table."""
_TOO_LONG = f"a field has more than {LONGEST:,} characters; is a quote not closed, or is this no table of texts?"

_ALIASES = {
    "id": "id key utt utt_id utterance utterance_id uttid segment_id recording_id name",
    "file": "file path file_name filename audio audio_path audio_file audio_filepath filepath wav wav_path wav_file clip "
            "wav_filename",
    "text": "text transcription transcript normalized_text normalised_text text_normalized sentence raw_transcription "
            "raw_text words wrd txt label_text orthography",
    "speaker": "speaker speaker_id spk spk_id speaker_name client_id reader reader_id voice",
    "language": "language lang locale language_id lang_id language_code",
    "gender": "gender sex",
    "accent": "accent accents dialect",
    "emotion": "emotion",
    "reference": "reference",
}  # fmt: skip
ALIAS = {name: meaning for meaning, names in _ALIASES.items() for name in names.split()}
"""Column name in lower case -> what it holds. Where several hold one thing, the first in the order above is taken."""
_ORDER = {name: place for place, name in enumerate(ALIAS)}


@dataclass(frozen=True)
class Entry:
    """One line of a table. id, file: as written, either may be empty. where: file and line, for messages."""

    id: str
    file: str
    where: str
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file that the entry names, else its id."""
        return self.file or self.id


def text_of(path: Path) -> str:
    """A text file (gzip by its suffix) without byte order mark, lines ended by a line feed. Raises BenchError."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise BenchError(f"{path}: is no whole gzip file ({error}); copy it again") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BenchError(f"{path}: is UTF-16; write it as UTF-8: iconv -f UTF-16 -t UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        byte = f"byte 0x{raw[error.start]:02x}"
        raise BenchError(f"{path}:{line}: {byte} is no UTF-8; if it is Latin-1, convert it: iconv -f LATIN1 -t UTF-8") from error
    if "\0" in text:
        raise BenchError(f"{path}: holds zero bytes; if it is UTF-16, write it as UTF-8: iconv -f UTF-16 -t UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def rows_of(path: Path, text: str, delimiter: str, *, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each line that is not empty. Raises BenchError for a field beyond LONGEST."""
    reader = csv.reader(
        text.splitlines(keepends=True), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    )
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                if max(map(len, row)) > LONGEST:
                    raise BenchError(f"{path}:{reader.line_num}: {_TOO_LONG}")
                yield reader.line_num, row
    except csv.Error as error:
        reason = _TOO_LONG if "field larger" in str(error) else str(error)
        raise BenchError(f"{path}:{reader.line_num}: {reason}") from error


def meanings(head: list[str]) -> dict[str, int]:
    """What a line of column names holds -> place: file, text, speaker ..."""
    found: dict[str, int] = {}
    known = {name.strip().lower().replace(" ", "_"): place for place, name in enumerate(head)}
    for name in sorted(set(known) & set(ALIAS), key=lambda one: _ORDER[one]):
        found.setdefault(ALIAS[name], known[name])
    return found
