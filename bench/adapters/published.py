"""`published:PATH`: a codec of which only decoded audio is known. It cannot encode; its outputs are looked up by id.

PATH is a folder of audio files, as a demo page or another bench left them. An output belongs to the utterance whose id
equals the file's path below PATH without its suffix, or else the file's bare name when that is unique, or else one of
both with separators made alike ("/", "-", "_") and an ending such as "_decoded" left out. The bits are unknown, so no
rate is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from bench.adapters import check_settings
from bench.audio import read, resample, shown
from bench.cards import Point
from bench.codec import Codec, Wave
from bench.codes import Codes
from bench.errors import BenchError, DataMissing
from bench.fetch.weights import Weights

VERSION = "1"
PREFIX = "published:"
SUFFIXES = (".flac", ".wav", ".ogg", ".mp3", ".opus")


class Published(Codec):
    """Decoded audio by utterance id, brought to `sample_rate`."""

    def __init__(self, folder: Path, sample_rate: int) -> None:
        self.sample_rate, self.folder = sample_rate, folder
        if not folder.is_dir():
            raise DataMissing(f"{PREFIX}{folder}: no such folder; give the folder that holds the decoded files "
                              rf"(a space or comma that belongs to its name has a backslash before it: {PREFIX}/my\ files)")
        self.files = {
            shown(path.relative_to(folder).with_suffix("")): path
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in SUFFIXES
        }
        if not self.files:
            raise DataMissing(f"{PREFIX}{folder}: holds no audio file ({', '.join(SUFFIXES)})")
        self._names = _unique((path.rpartition("/")[2], path) for path in self.files)
        self._alike = _unique([(_plain(path), path) for path in self.files])
        self._names_alike = _unique([(_plain(path.rpartition("/")[2]), path) for path in self.files])

    @classmethod
    @cache
    def of(cls, folder: str, sample_rate: int) -> Published:
        """The one of a folder, listed once per process."""
        return cls(Path(folder), sample_rate)

    def path_for(self, utterance_id: str) -> Path | None:
        """The decoded file of an utterance, or None."""
        name, plain = utterance_id.rpartition("/")[2], _plain(utterance_id)
        if utterance_id in self.files:
            return self.files[utterance_id]
        for table, key in ((self._names, name), (self._alike, plain), (self._names_alike, _plain(name))):
            if (found := table.get(key)) is not None:
                return self.files[found]
        return None

    def matched(self, utterance_ids: Iterable[str]) -> list[str]:
        """Those ids that have a decoded file, in their order."""
        return [name for name in utterance_ids if self.path_for(name) is not None]

    def decoded_for(self, utterance_id: str, channel: int | None = None) -> Wave:
        """Decoded wave [T'] at `sample_rate`, as published: neither trimmed nor scaled. channel: of a file with several
        (None: their average). Raises DataMissing when there is none."""
        path = self.path_for(utterance_id)
        if path is None:
            raise DataMissing(f"{PREFIX}{self.folder}: no decoded file for utterance '{utterance_id}'")
        wave, rate = read(path, channel, scale=False)
        return np.asarray(resample(wave, rate, self.sample_rate), np.float32)

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        raise BenchError(f"{PREFIX}{self.folder} is decoded audio, not a codec: it cannot encode other speech")

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        raise BenchError(f"{PREFIX}{self.folder} is decoded audio, not a codec: it cannot decode")


def _plain(name: str) -> str:
    """Separators alike, lower case, without an ending that only says that this is an output ("_decoded")."""
    return re.sub(r"_(decoded|reconstructed|recon|rec|output)$", "", re.sub(r"[/_\-\s]+", "_", name).lower())


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Key -> value, without the keys that several values share."""
    found: dict[str, str] = {}
    shared: set[str] = set()
    for key, value in pairs:
        if key in found:
            shared.add(key)
        found[key] = value
    return {key: value for key, value in found.items() if key not in shared}


def point(name: str, sample_rate: int = 16000) -> Point:
    """`published:PATH` or a PATH -> an operating point called published@FOLDER, whose adapter is this module."""
    folder = Path(name.removeprefix(PREFIX)).expanduser()
    return Point(
        family="published", point=folder.resolve().name, adapter="published", kind="reference", sample_rate=sample_rate,
        settings={"path": str(folder)}, bitrate_kbps=None, streams=(), weights={},
        summary=f"decoded audio as published in {folder}",
    )  # fmt: skip


def load(point: Point, weights: Weights, device: str) -> Codec:
    """Settings: `path`, the folder."""
    check_settings(point, ["path"])
    return Published(Path(point.settings["path"]), point.sample_rate)
