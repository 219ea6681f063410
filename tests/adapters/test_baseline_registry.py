"""Adapters are found by name, published audio by utterance, and the floor has nothing of its input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import adapters, audio, cards
from bench.adapters import published
from bench.coding.codec import encode
from bench.coding.codes import Codes, Tokens
from bench.errors import BadCard, BenchError, DataMissing, UnknownName
from bench.fetch import weights

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]
ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_card_names_an_adapter_that_is_there() -> None:
    assert {point.adapter for point in cards.all_points()} <= set(adapters.targets())


def test_unknown_adapters_name_their_neighbours() -> None:
    with pytest.raises(UnknownName, match="codec2"):
        adapters.module("codec3")


def test_adapters_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("theirs", "bench.adapters.mulaw", "bench.adapters"), EntryPoint("empty", "math", "bench.adapters")]
    monkeypatch.setattr(cards, "entry_points", lambda group: entries if group == "bench.adapters" else [])
    assert adapters.module("theirs").__name__ == "bench.adapters.mulaw"
    with pytest.raises(BadCard, match="load"):
        adapters.module("empty")


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench import adapters, cards; from bench.coding import entropy, usage;"
        "cards.all_points(); adapters.targets();"
        "print([m for m in ('torch', 'transformers', 'av', 'scipy', 'soundfile') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_random_codes_have_the_shape_and_nothing_of_the_content(subject: Get, bursts: Signal) -> None:
    floor, inner = subject("random-codes").codec, subject("codec2@3200").codec
    wave = bursts(8000, 4.0)
    [drawn], [sent] = encode(floor, [wave]), encode(inner, [wave])
    assert drawn.payload_bits == sent.payload_bits
    tokens, real = drawn.parts[0], sent.parts[0]
    assert isinstance(tokens, Tokens) and isinstance(real, Tokens)
    assert tokens.sizes == real.sizes
    # Evenly drawn bits: the mean of the two voicing bits of 200 frames is 1/2 to within 4 standard deviations.
    assert tokens.indices[:, :2].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(400))
    assert encode(floor, [wave[:8000], wave])[1].sha256 == drawn.sha256
    assert encode(floor, [wave[::-1].copy()])[0].sha256 != drawn.sha256


def write(folder: Path, name: str, level: float, rate: int = 16000) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, np.full(rate // 10, level, np.float32), rate)


def test_published_audio_is_found_by_id(tmp_path: Path) -> None:
    write(tmp_path, "test-clean/61-70968-0053.flac", 0.1)
    write(tmp_path, "vctk/p225_001.wav", 0.2, rate=24000)
    write(tmp_path, "a/same.wav", 0.3)
    write(tmp_path, "b/same.wav", 0.4)
    write(tmp_path, "vctk/p226_002_decoded.wav", 0.5)
    (tmp_path / "notes.txt").write_text("not audio")
    point = published.point(f"published:{tmp_path}")
    codec = adapters.load(point, weights.resolve(point))
    assert isinstance(codec, published.Published)
    assert point.name == f"published@{tmp_path.name}" and point.bitrate_kbps is None
    assert len(codec.files) == 5
    for name, level in (
        ("test-clean/61-70968-0053", 0.1), ("61-70968-0053", 0.1), ("61_70968_0053", 0.1), ("vctk/p225_001", 0.2),
        ("a/same", 0.3), ("b_same", 0.4), ("vctk/p226_002", 0.5), ("p226_002", 0.5),
    ):  # fmt: skip
        assert np.median(codec.decoded_for(name)) == pytest.approx(level, abs=1e-3)
    assert codec.decoded_for("p225_001").shape == (1600,), "brought from 24 to 16 kHz"
    assert codec.matched(["same", "b/same", "nobody"]) == ["b/same"], "a name that two files share matches neither"
    with pytest.raises(DataMissing, match="nobody"):
        codec.decoded_for("nobody")


def test_published_audio_is_no_codec(tmp_path: Path) -> None:
    write(tmp_path, "x.wav", 0.1)
    codec = published.Published(tmp_path, 16000)
    with pytest.raises(BenchError, match="cannot encode"):
        codec.encode([np.zeros(10, np.float32)])
    with pytest.raises(BenchError, match="cannot decode"):
        codec.decode([Codes((), 1, 16000)])
    with pytest.raises(DataMissing, match="no such folder"):
        published.Published(tmp_path / "nothing", 16000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataMissing, match="no audio file"):
        published.Published(tmp_path / "empty", 16000)
