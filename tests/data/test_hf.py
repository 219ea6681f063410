"""Data sets of the Hugging Face kind, on this machine: saved to disk, as Parquet, as an audiofolder."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bench import data
from bench.errors import BenchError, DataMissing, UnknownName

datasets = pytest.importorskip("datasets")
RATE = 16000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return tmp_path


def flac(level: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(1600, level), RATE, format="FLAC")
    return buffer.getvalue()


def table(count: int = 3, **columns: list[Any]) -> Any:
    audio = [{"bytes": flac((n + 1) / 10), "path": f"clip{n}.flac"} for n in range(count)]
    made = datasets.Dataset.from_dict({"audio": audio, **columns})
    return made.cast_column("audio", datasets.Audio())


def test_a_saved_set_with_its_columns(home: Path) -> None:
    made = table(
        sentence=["eins", "", "drei"], speaker_id=[7, 7, 8], locale=["de", "de_DE", "German"], gender=[0, 1, 1],
    ).cast_column("gender", datasets.ClassLabel(names=["female", "male"]))  # fmt: skip
    made.save_to_disk(str(home / "mine"))
    found = data.load(f"hf:{home / 'mine'}")
    assert [(u.id, u.text, u.speaker, u.language, u.gender) for u in found] == [
        ("clip0", "eins", "7", "de", "female"), ("clip1", None, "7", "de-DE", "male"), ("clip2", "drei", "8", "de", "male"),
    ]  # fmt: skip
    assert found.notes == ()
    for n, u in enumerate(found):
        wave, rate = u.read()
        assert rate == RATE and len(wave) == 1600 and wave[0] == pytest.approx((n + 1) / 10, abs=1e-4)
        assert u.path is not None and u.path.read_bytes() == flac((n + 1) / 10), "bytes are kept as they are"
    assert data.load(f"hf:{home / 'mine'}").sha256 == found.sha256
    assert str(home) not in found.name


def test_splits(home: Path) -> None:
    splits = {"train": table(2, text=["a", "b"]), "test": table(1, text=["c"])}
    datasets.DatasetDict(splits).save_to_disk(str(home / "both"))
    assert [u.text for u in data.load(f"hf:{home / 'both'}")] == ["c"], "test is the usual one"
    assert [u.text for u in data.load(f"hf:{home / 'both'}:train")] == ["a", "b"]
    with pytest.raises(UnknownName, match="train"):
        data.load(f"hf:{home / 'both'}:trian")
    datasets.DatasetDict({"a": table(1), "b": table(1)}).save_to_disk(str(home / "neither"))
    with pytest.raises(BenchError, match="has the splits a, b; name one"):
        data.load(f"hf:{home / 'neither'}")


def test_parquet_and_what_is_not_said(home: Path) -> None:
    (home / "parquet").mkdir()
    table(2, transcription=["one", "two"], id=["x", "x"]).to_parquet(str(home / "parquet" / "train.parquet"))
    found = data.load(f"hf:{home / 'parquet'}")
    assert [(u.id, u.text, u.language) for u in found] == [("clip0", "one", "en"), ("clip1", "two", "en")]
    assert len(found.notes) == 2 and "one speaker" in found.notes[0] and "no language" in found.notes[1]
    assert [u.language for u in data.load(f"hf:{home / 'parquet'}", language="Polish")] == ["pl", "pl"]


def test_rows_without_names_are_numbered(home: Path) -> None:
    audio = [{"bytes": flac(0.1), "path": None}, {"bytes": flac(0.2), "path": None}]
    datasets.Dataset.from_dict({"audio": audio}).cast_column("audio", datasets.Audio()).save_to_disk(str(home / "bare"))
    assert [u.id for u in data.load(f"hf:{home / 'bare'}")] == ["000000", "000001"]


def test_faults_are_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(home / "texts"))
    with pytest.raises(BenchError, match="no column of audio, only text"):
        data.load(f"hf:{home / 'texts'}")
    with pytest.raises(DataMissing, match="BENCH_OFFLINE forbids the network"):
        data.load("hf:somebody/something")
    with pytest.raises(DataMissing, match="needs a name"):
        data.load("hf")
    table(1, language=["Klingonish"]).save_to_disk(str(home / "odd"))
    with pytest.raises(BenchError, match="row 0: unknown language 'Klingonish'"):
        data.load(f"hf:{home / 'odd'}")
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "datasets":
            raise ImportError("not here")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BenchError, match="pip install datasets"):
        data.load(f"hf:{home / 'texts'}")
