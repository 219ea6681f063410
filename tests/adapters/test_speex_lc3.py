"""Speex and LC3: packets, delays, closeness by rate, and what is said where they are not installed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import adapters, cards, presence
from bench.coding.codec import encode, pad, roundtrip
from bench.coding.codes import Packets
from bench.errors import BadCard, BadCodes, BenchError
from bench.fetch import weights

Signal = Callable[..., NDArray[np.float32]]
HERE = shutil.which("speexenc") and shutil.which("speexdec")
needs_speex = pytest.mark.skipif(not HERE, reason="needs the programs speexenc and speexdec (apt install speex)")


def made(name: str, **settings: Any) -> Any:
    point = cards.resolve(name)
    point = dataclasses.replace(point, settings={**point.settings, **settings})
    return adapters.load(point, weights.resolve(point, "none"))


def correlation(codec: Any, wave: NDArray[np.float32]) -> float:
    return float(np.corrcoef(wave, roundtrip(codec, wave)[1])[0, 1])


def peak(codec: Any, wave: NDArray[np.float32]) -> int:
    """Samples by which the decoded wave lags, by the maximum of the cross-correlation."""
    padded = pad(codec, wave)
    decoded = codec.decode(codec.encode([padded]))[0][: len(padded)]
    size = 2 * len(padded)
    product = np.fft.irfft(np.fft.rfft(decoded, size) * np.fft.rfft(padded, size).conj(), size)
    return int(np.argmax(product[: codec.delay + 400]))


def test_lc3_packets_and_closeness(bursts: Signal) -> None:
    pytest.importorskip("lc3")
    wave = bursts(16000, 2.0)
    found = []
    for name, size in (("lc3@16", 20), ("lc3@24", 30), ("lc3@32", 40)):
        codec = made(name)
        part = encode(codec, [wave])[0].parts[0]
        assert isinstance(part, Packets) and {len(packet) for packet in part.payloads} == {size}
        # 2 s and the delay's 40 samples, in packets of 160.
        assert len(part.payloads) == 201
        found.append(correlation(codec, wave))
    assert 0.95 < found[0] < found[1] < found[2]
    with pytest.raises(BadCodes, match="packets of 20 bytes"):
        made("lc3@16").decode(encode(made("lc3@32"), [wave]))
    for settings in ({"frame_bytes": 19}, {"frame_bytes": 401}, {"bit_rate": 16000}):
        with pytest.raises(BadCard):
            made("lc3@16", **settings)


@needs_speex
@pytest.mark.parametrize("name", ["speex@4", "speex@nb-4"])
def test_speex_delay_is_the_measured_one(name: str, bursts: Signal) -> None:
    """At quality 8, whose waveform is close; the delay comes from filters and look-ahead and is the same at all rates."""
    codec = made(name, quality=8)
    assert [peak(codec, bursts(codec.sample_rate, 4.0, seed)) for seed in range(3)] == [codec.delay] * 3


@needs_speex
def test_speex_packets_and_closeness(bursts: Signal) -> None:
    wave = bursts(16000, 2.0)
    found = []
    for quality, size in ((0, 10), (4, 32), (8, 70)):
        codec = made("speex@4", quality=quality)
        part = encode(codec, [wave])[0].parts[0]
        assert isinstance(part, Packets) and {len(packet) for packet in part.payloads} == {size}
        assert len(part.payloads) == -(-(32000 + codec.delay) // 320)
        found.append(correlation(codec, wave))
    # At quality 0 the excitation is noise: a vocoder, whose waveform is another.
    assert found[0] < 0.5 and min(found[1:]) > 0.8
    for settings, said in (({"quality": 11}, "0 to 10"), ({"vbr": True}, "vbr")):
        with pytest.raises(BadCard, match=said):
            made("speex@4", **settings)


def test_absent_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    point = cards.resolve("speex@4")
    assert str(presence.presence(point)) == "needs a package (not on the PATH: speexenc, speexdec)"
    with pytest.raises(BenchError, match=r"needs the program speexenc.*apt install speex"):
        adapters.load(point, weights.resolve(point, "none"))


def test_a_program_that_fails_or_hangs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from bench.adapters import speex

    fails = "echo first >&2; echo 'no such mode' >&2; exit 3"
    for text, said in ((fails, "ended with 3: no such mode"), ("exec sleep 9", "no answer")):
        path = tmp_path / "speexenc"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr(speex, "LIMIT_S", 0.3)
        with pytest.raises(BenchError, match=said):
            speex.run("speexenc", [], b"")
