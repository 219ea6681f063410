"""Folders as people have them: what cannot be read is kept as an utterance that fails, and the rest is scored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import audio, data
from bench.adapters.published import Published
from bench.data import places
from bench.errors import BadAudio, DataMissing
from bench.store import Store

RATE = 16000


def put(folder: Path, name: bytes) -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(len(name)).normal(0, 0.1, RATE).astype(np.float32)
    audio.write(folder / "tmp.wav", wave, RATE)
    (folder / "tmp.wav").rename(path)
    return path


def test_names_that_are_not_utf8_are_written_out(tmp_path: Path) -> None:
    odd, plain = put(tmp_path / "in", b"d\xe9j\xe0/caf\xe9.wav"), put(tmp_path / "in", "käse/größe.wav".encode())
    dataset = data.load(f"folder:{tmp_path / 'in'}")
    assert {u.id: u.speaker for u in dataset} == {"d\\xe9j\\xe0/caf\\xe9": "d\\xe9j\\xe0", "käse/größe": "käse"}
    assert {u.path for u in dataset} == {odd, plain}
    assert len(dataset.sha256) == 64 and all(len(u.read()[0]) == RATE for u in dataset)
    with Store(tmp_path / "s.sqlite") as store:
        first = store.file_sha256([odd, plain])
        assert store.file_sha256([odd, plain]) == first and len(set(first.values())) == 2
    assert Published(tmp_path / "in", RATE).path_for("d\\xe9j\\xe0/caf\\xe9") == odd


def test_what_only_looks_like_a_file_fails_by_itself(tmp_path: Path) -> None:
    put(tmp_path, b"good.wav")
    (tmp_path / "broken.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    found = {u.id: u for u in data.load(f"folder:{tmp_path}")}
    assert set(found) == {"good", "broken", "loop", "pipe"}
    with Store(tmp_path / "s.sqlite") as store:
        digests = store.file_sha256([u.path for u in found.values()])
    assert [found[name].id for name in found if digests[found[name].path] != "missing"] == ["good"]
    for name in ("broken", "loop", "pipe"):
        with pytest.raises(BadAudio, match=f"{name}.wav"):
            found[name].read()


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that cannot be listed, also for root."""
    put(tmp_path, b"open/a.wav")
    put(tmp_path, b"closed/b.wav")
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if os.fspath(path).rstrip("/").endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    yield tmp_path


def test_a_folder_that_cannot_be_listed_is_a_failure_of_its_own(closed: Path) -> None:
    assert places.unreadable(closed) == [closed / "closed"]
    dataset = data.load(f"folder:{closed}")
    assert [u.id for u in dataset] == ["open/a", "closed/"]
    with pytest.raises(BadAudio, match="closed: is a folder"):
        dataset.utterances[1].read()
    with pytest.raises(DataMissing, match="closed cannot be listed"):
        data.load(f"folder:{closed / 'closed'}")
