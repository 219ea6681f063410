"""Chunks through codecs whose answer is known by hand: what comes out, how long it waits, how far ahead it listens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.coding import codec as coding
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Tokens
from bench.engine.clock import Clock
from bench.results import schema
from bench.tasks import chunks, streaming
from bench.tasks.chunks import Piece, Sizes

RATE = 16000
CLOCK = Clock("cpu")


class Samples(Codec):
    """16-bit samples as they are; with `ahead`, each output sample is the mean of itself and the one so far ahead."""

    sample_rate = RATE

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [Codes((Tokens("samples", RATE, (65536,), _levels(wave)),), len(wave), RATE) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._smooth(_wave(c.tokens[0].indices)) for c in codes]

    def _smooth(self, wave: Wave) -> Wave:
        later = np.pad(wave, (0, self.ahead))[self.ahead :]
        return np.asarray((wave + later) / 2, np.float32)


class Delayed(Samples):
    """Streams by itself, 100 samples late."""

    delay = 100

    class _Encoder:
        def push(self, wave: Wave) -> np.ndarray:
            return _levels(wave)

        def flush(self) -> np.ndarray:
            return np.zeros((0, 1), np.int64)

    class _Decoder:
        def __init__(self) -> None:
            self._held = np.zeros(100, np.float32)

        def push(self, tokens: np.ndarray) -> Wave:
            whole = np.concatenate([self._held, _wave(tokens)])
            self._held = whole[len(tokens) :]
            return whole[: len(tokens)]

        def flush(self) -> Wave:
            return self._held

    def stream_encoder(self) -> Delayed._Encoder:
        return self._Encoder()

    def stream_decoder(self) -> Delayed._Decoder:
        return self._Decoder()


def _levels(wave: Wave) -> np.ndarray:
    return (np.round(wave * 32768).astype(np.int64) + 32768).reshape(-1, 1)


def _wave(tokens: np.ndarray) -> Wave:
    return ((tokens.reshape(-1).astype(np.float32) - 32768) / 32768).astype(np.float32)


def noise(samples: int, seed: int = 0) -> Wave:
    return (np.round(np.random.default_rng(seed).normal(0, 0.1, samples) * 32768) / 32768).astype(np.float32)


def through(codec: Codec, wave: Wave, sizes: Sizes) -> tuple[Wave, list[Piece]]:
    pieces = list(chunks.stream(codec, wave, sizes, CLOCK))
    return np.concatenate([piece.wave for piece in pieces]), pieces


@pytest.mark.parametrize("samples", [1, 50, 2000, 2001, 3919, 3920, 3921, 9999])
def test_chunks_of_a_transparent_codec_are_the_signal(samples: int) -> None:
    wave = noise(samples)
    out, pieces = through(Samples(), wave, Sizes(2000, 48000, 80))
    np.testing.assert_array_equal(out, wave)
    assert pieces[-1].came == samples


def test_sizes_of_the_paper() -> None:
    assert Sizes.of(16000, 125, 3000, 0.04) == Sizes(2000, 48000, 80)


def test_crossfade_is_linear() -> None:
    zeros, ones = np.zeros(3, np.float32), np.ones(5, np.float32)
    np.testing.assert_allclose(chunks.crossfade(zeros, ones), [0.25, 0.5, 0.75, 1, 1])


def test_nothing_of_a_chunk_goes_out_before_it_is_whole() -> None:
    codec = Samples()
    _, pieces = through(codec, noise(20000), Sizes(2000, 4000, 80))
    assert chunks.latency(codec, pieces) == 2000


@pytest.mark.parametrize(("ahead", "found"), [(0, 1), (37, 38), (5000, 1)])
def test_look_ahead_by_perturbation(ahead: int, found: int) -> None:
    # What lies beyond the chunk cannot be listened to: no more than a chunk is ever needed.
    assert chunks.look_ahead(Samples(ahead), Sizes(2000, 4000, 0)) == found


def test_a_codec_that_streams_is_pushed_chunk_by_chunk() -> None:
    wave, codec, sizes = noise(9000), Delayed(), Sizes(2000)
    decoded, pieces = through(codec, wave, sizes)
    [codes] = coding.encode(codec, [wave])
    np.testing.assert_array_equal(coding.fit(codec, decoded, 9000), _wave(codes.tokens[0].indices)[:9000])
    assert [piece.came for piece in pieces] == [2000, 4000, 6000, 8000, 9100]
    assert chunks.latency(codec, pieces) == 2100
    assert chunks.look_ahead(codec, sizes) == 1


def test_first_sample_waits_for_its_chunk_and_its_computing() -> None:
    codec, empty, full = Samples(), np.zeros(0, np.float32), np.zeros(160, np.float32)
    assert chunks.first_sample_s(codec, [Piece(full, 1600, 0.05)]) == pytest.approx(0.15)
    # The second chunk has come at 0.2 s, but the first one is still being computed.
    assert chunks.first_sample_s(codec, [Piece(empty, 1600, 0.3), Piece(full, 3200, 0.1)]) == pytest.approx(0.5)


def test_percentiles_are_of_all_chunks_of_a_system() -> None:
    times = [[0.001 * n for n in range(1, 51)], [0.001 * n for n in range(51, 101)]]
    made = schema.typed(
        {"codec": "a", "utterance": str(n), "speaker": "s", "column": "chunk_times", "detail": json.dumps(some)}
        for n, some in enumerate(times)
    )
    found = streaming.percentiles(made)
    assert dict(zip(found["column"].astype(str), found["value"], strict=True)) == pytest.approx(
        {"chunk_p50_ms": 50.0, "chunk_p95_ms": 95.0, "chunk_p99_ms": 99.0}
    )
    assert set(found["speaker"].astype(str)) == {schema.WHOLE_SET}


def test_table_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--codec", "codec2@700", "--limit", "2", "--metrics", "stoi", "--workers", "1"]
    assert streaming.main([*words, "--store", str(tmp_path / "s.sqlite"), "--results", str(tmp_path / "r")]) == 0
    printed = capsys.readouterr().out
    for name in ("(whole signal)", "(500 ms chunks)", "(250 ms chunks)", "(125 ms chunks)"):
        assert f"codec2@700 {name}" in printed
    [page] = (tmp_path / "r").rglob("leaderboard.md")
    assert "a chunk's time, p95 (ms)" in page.read_text()


def test_decoded_elsewhere_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert streaming.main(["--codec", f"published:{tmp_path}"]) == 1
    assert "cannot be coded in chunks" in capsys.readouterr().err
