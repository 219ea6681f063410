"""`published:PATH`: a codec of which only decoded audio is known. It cannot encode; its outputs are looked up by id.

PATH is a folder of audio files, as a demo page or another bench left them, or `FOLDER#SYSTEM` where the files of several
systems lie together (see `bench.data.trees`). Which file belongs to which utterance: see `bench.data.matching`. The bits
are unknown, so no rate is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from bench.adapters import check_settings
from bench.audio import read, resample
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes
from bench.data import trees
from bench.data.matching import Matching, explain
from bench.data.places import AUDIO
from bench.errors import BenchError, DataMissing
from bench.fetch.weights import Weights

VERSION = "1"
PREFIX = "published:"


class Published(Codec):
    """Decoded audio by utterance id, brought to `sample_rate`."""

    def __init__(self, folder: Path, sample_rate: int) -> None:
        self.sample_rate, self.folder = sample_rate, folder
        files = trees.files_of(folder)
        if files is None:
            raise DataMissing(
                f"{PREFIX}{folder}: no such folder; give the folder that holds the decoded files "
                rf"(a space or comma that belongs to its name has a backslash before it: {PREFIX}/my\ files)"
            )
        if not files:
            raise DataMissing(f"{PREFIX}{folder}: holds no audio file ({', '.join(AUDIO)})")
        self.files = files
        self._matching = Matching((trees.stem(name), name) for name in self.files)

    @classmethod
    @cache
    def of(cls, folder: str, sample_rate: int) -> Published:
        """The one of a folder, listed once per process."""
        return cls(Path(folder), sample_rate)

    def path_for(self, utterance_id: str) -> Path | None:
        """The decoded file of an utterance, or None."""
        found = self._matching.find(utterance_id)
        return None if found is None else self.files[found]

    def matched(self, utterance_ids: Iterable[str]) -> list[str]:
        """Those ids that have a decoded file, in their order."""
        return [name for name in utterance_ids if self.path_for(name) is not None]

    def told(self, utterance_ids: Sequence[str], label: str, *, whole: bool = True) -> list[str]:
        """What matched and what did not, as lines. whole: the ids are those of the whole set, so that surplus files tell."""
        found = {name: self._matching.find(name) for name in utterance_ids}
        taken = set(found.values())
        lines = [f"{label}: decoded files of {sum(one is not None for one in found.values())} of {len(found)} utterances"]
        surplus = [name for name in self.files if name not in taken] if whole else []
        return [*lines, *explain([name for name, file in found.items() if file is None], surplus, label)]

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


def point(name: str, sample_rate: int = 16000) -> Point:
    """`published:PATH` or a PATH -> an operating point called published@FOLDER, whose adapter is this module."""
    if not (path := name.removeprefix(PREFIX)):
        raise BenchError(f"{PREFIX} names no folder; write {PREFIX}/their/outputs")
    folder = Path(path).expanduser()
    return Point(
        family="published", point=trees.place(folder).name, adapter="published", kind="reference", sample_rate=sample_rate,
        settings={"path": str(folder)}, bitrate_kbps=None, streams=(), weights={},
        summary=f"decoded audio as published in {folder}",
    )  # fmt: skip


def load(point: Point, weights: Weights, device: str) -> Codec:
    """Settings: `path`, the folder."""
    check_settings(point, ["path"])
    return Published(Path(point.settings["path"]), point.sample_rate)
