"""The contract that every registered codec keeps, whatever it is made of. One suite over all cards."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import cards, presence
from bench.audio import level_dbfs
from bench.coding import entropy
from bench.coding.codec import check_wave, decode, encode, output_samples, pad, roundtrip
from bench.coding.codes import Codes
from bench.errors import BadAudio

ROOT = Path(__file__).resolve().parent.parent.parent
POINTS = {point.name: point for point in cards.all_points()}
# Networks run at one operating point per family: the others differ in the number of codebooks only.
NETWORKS = [name for name, point in POINTS.items() if point.kind == "neural" and point.family != "lyra"]
FIRST = {POINTS[name].family: name for name in reversed(NETWORKS)}
NAMES = [name for name in POINTS if name not in NETWORKS or name in FIRST.values()]
CHEAP = [name for name in NAMES if name not in NETWORKS]

Get = Callable[[str], Any]
Signal = Callable[..., NDArray[np.float32]]


def absent(name: str) -> bool:
    """Whether a package or an environment of the codec is not on this machine; the tests of the contract say which."""
    return presence.presence(POINTS[name]).state in (presence.PACKAGE, presence.ENVIRONMENT)


every = pytest.mark.parametrize("name", NAMES)
cheap = pytest.mark.parametrize("name", CHEAP)


def heard(name: str) -> bool:
    """Whether what this codec returns resembles what it got (random codes and untrained networks do not)."""
    return name in CHEAP and not name.startswith("random-codes")


@every
def test_length_out_is_length_in(name: str, subject: Get, bursts: Signal) -> None:
    codec = subject(name).codec
    wave = bursts(codec.sample_rate, 1.0)
    for length in sorted({1, 2, codec.frame - 1, codec.frame, codec.frame + 1, codec.sample_rate // 3}):
        if length > 0:
            _, decoded = roundtrip(codec, wave[:length])
            assert decoded.shape == (output_samples(codec, length),)
            assert decoded.dtype == np.float32
            assert np.isfinite(decoded).all()


@cheap
def test_thirty_seconds(name: str, subject: Get, bursts: Signal) -> None:
    codec = subject(name).codec
    wave = np.tile(bursts(codec.sample_rate, 3.0), 10)
    codes, decoded = roundtrip(codec, wave)
    assert decoded.shape == wave.shape
    assert codes.num_samples >= len(wave)
    if heard(name):
        assert level_dbfs(decoded) == pytest.approx(level_dbfs(wave), abs=6.0)


@every
def test_extreme_signals_give_finite_waves(name: str, subject: Get) -> None:
    codec = subject(name).codec
    rate = codec.sample_rate
    time = np.arange(rate // 4) / rate
    quiet, dc = np.zeros(rate // 4, np.float32), np.full(rate // 4, 0.5, np.float32)
    loud = (4.0 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    tiny = np.full(rate // 4, 1e-30, np.float32)
    for wave in (quiet, dc, loud, tiny):
        _, decoded = roundtrip(codec, wave)
        assert decoded.shape == (output_samples(codec, len(wave)),)
        assert np.isfinite(decoded).all()
    if heard(name):
        assert level_dbfs(roundtrip(codec, quiet)[1]) < -45
        assert level_dbfs(roundtrip(codec, loud)[1]) > -15


@every
def test_unusable_waves_are_refused(name: str, subject: Get) -> None:
    codec = subject(name).codec
    good = np.zeros(codec.frame, np.float32)
    for bad in (np.nan, np.inf):
        wave = good.copy()
        wave[-1] = bad
        with pytest.raises(BadAudio, match="NaN or infinite"):
            roundtrip(codec, wave)
    with pytest.raises(BadAudio, match="empty"):
        roundtrip(codec, good[:0])
    with pytest.raises(BadAudio, match="mono"):
        roundtrip(codec, np.stack([good, good]))


@every
def test_a_batch_equals_one_by_one(name: str, subject: Get, bursts: Signal) -> None:
    codec = subject(name).codec
    wave = bursts(codec.sample_rate, 1.0)
    rate = codec.sample_rate
    waves = [wave[: rate // 2], wave[rate // 3 : rate], wave[:7], wave[: rate // 2][::-1].copy(), wave[rate // 3 : rate]]
    kept = [each.copy() for each in waves]
    together = encode(codec, waves)
    alone = [encode(codec, [each])[0] for each in waves]
    assert [codes.sha256 for codes in together] == [codes.sha256 for codes in alone]
    lengths = [len(each) for each in waves]
    for one, batched, length in zip(alone, decode(codec, together, lengths), lengths, strict=True):
        single = decode(codec, [one], [length])[0]
        np.testing.assert_allclose(batched, single, atol=0 if name in CHEAP else 1e-5)
    for before, after in zip(kept, waves, strict=True):
        np.testing.assert_array_equal(before, after)


@every
def test_bits_are_the_bytes_on_disk(name: str, subject: Get, bursts: Signal, tmp_path: Path) -> None:
    codec = subject(name).codec
    wave = bursts(codec.sample_rate, 0.6)
    [codes] = encode(codec, [wave])
    path = tmp_path / "codes"
    path.write_bytes(codes.to_bytes())
    data = path.read_bytes()
    (head,) = struct.unpack("<I", data[4:8])
    assert len(data) - 8 - head == sum(-(-part.bits // 8) for part in codes.parts)
    assert codes.payload_bits == sum(part.bits for part in codes.parts)
    # At most the choice of a law for each column above the packed size.
    columns = sum(len(getattr(part, "sizes", (0,))) for part in codes.parts)
    assert entropy.coded_bits(codes) <= 8 * sum(-(-part.bits // 8) for part in codes.parts) + 2 * columns


@every
def test_the_card_says_what_is_sent(name: str, subject: Get, bursts: Signal) -> None:
    made = subject(name)
    if not made.point.streams:
        pytest.skip(f"{name}: its card names no streams")
    seconds = 1.0
    wave = bursts(made.codec.sample_rate, seconds)
    [codes] = encode(made.codec, [pad(made.codec, check_wave(wave))])
    assert [part.name for part in codes.parts] == [stream.name for stream in made.point.streams]
    for part, stream in zip(codes.parts, made.point.streams, strict=True):
        if stream.sizes and hasattr(part, "sizes"):
            assert list(part.sizes) == list(stream.sizes)
        if hasattr(part, "rate_hz"):
            assert part.rate_hz == pytest.approx(stream.rate_hz)
    variable = made.point.settings.get("options", {}).get("vbr") == "on"
    if made.point.bitrate_kbps and all(stream.rate_hz for stream in made.point.streams):
        assert cards.nominal_bits_per_s(made.point.streams) == pytest.approx(1000 * made.point.bitrate_kbps, rel=0.02)
    stated = cards.nominal_bits_per_s(made.point.streams, codes.seconds) * codes.seconds
    # A stream slower than the codec's frame rounds its number of tokens up; one that looks 400 samples wide every 320
    # (FocalCodec: 49 tokens for 16000 samples, as published) ends a frame early.
    a_frame = sum(part.nominal_bits / max(1, len(part.indices)) for part in codes.tokens)
    least = stated * 0.65 if variable else stated * (1 - 1e-6) - a_frame
    assert least <= codes.nominal_bits <= stated * 1.001 + a_frame


_ELSEWHERE = """
import json, sys
import numpy as np
sys.path[:0] = json.loads(sys.argv[2])
from conftest import make
from bench.coding.codes import Codes
folder = sys.argv[1]
for number, (name, kind, config) in enumerate(json.load(open(f"{folder}/list.json"))):
    codec = make(name, kind, config).codec
    codes = Codes.from_bytes(open(f"{folder}/{number}.codes", "rb").read())
    np.save(f"{folder}/{number}.npy", codec.decode([codes])[0])
"""


@pytest.fixture(scope="session")
def elsewhere(
    subject: Get, bursts: Signal, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """name -> (decoded here a second time, decoded by another process from the bytes alone)."""
    folder = tmp_path_factory.mktemp("elsewhere")
    here: dict[str, NDArray[np.float32]] = {}
    listed = []
    for name in NAMES:
        try:
            made = subject(name)
        except pytest.skip.Exception:
            continue
        [codes] = encode(made.codec, [bursts(made.codec.sample_rate, 0.7)])
        (folder / f"{len(listed)}.codes").write_bytes(codes.to_bytes())
        made.codec.decode([codes])
        here[name] = made.codec.decode([Codes.from_bytes(codes.to_bytes())])[0]
        listed.append([name, made.kind, made.config])
    (folder / "list.json").write_text(json.dumps(listed))
    paths = json.dumps([str(ROOT), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, str(folder), paths], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: (wave, np.load(folder / f"{number}.npy")) for number, (name, wave) in enumerate(here.items())}


@pytest.mark.parametrize("name", [name for name in NAMES if not absent(name)])
def test_another_process_decodes_the_same_wave(name: str, elsewhere: dict[str, Any]) -> None:
    here, there = elsewhere[name]
    np.testing.assert_allclose(there, here, atol=0 if name in CHEAP else 1e-6)


def lag(signal: NDArray[np.floating], delayed: NDArray[np.floating], most: int) -> float:
    """Samples by which `delayed` lags `signal`: the peak of their cross-correlation within +-most, refined by a parabola."""
    size = 1 << int(np.ceil(np.log2(len(signal) + len(delayed))))
    spectrum = np.fft.rfft(delayed, size) * np.fft.rfft(signal, size).conj()
    correlation = np.fft.irfft(spectrum, size)
    around = np.concatenate([correlation[-most:], correlation[: most + 1]])
    peak = int(np.clip(np.argmax(around), 1, len(around) - 2))
    before, top, after = around[peak - 1 : peak + 2]
    return float(peak - most + 0.5 * (before - after) / (before - 2 * top + after))


def envelope(wave: NDArray[np.float32], rate_hz: int) -> NDArray[np.float64]:
    """Level over 20 ms, less its mean."""
    window = np.hanning(rate_hz // 50 | 1)
    level = np.sqrt(np.maximum(np.convolve(wave.astype(np.float64) ** 2, window / window.sum(), "same"), 1e-12))
    return level - level.mean()


# Speex keeps no waveform at its lowest rate; its delay is measured at a higher one in its own test.
@pytest.mark.parametrize("name", [name for name in CHEAP if heard(name) and not name.startswith("speex")])
def test_declared_delay_is_the_measured_one(name: str, subject: Get, bursts: Signal) -> None:
    """To the nearest sample where the waveform is kept; within 0.5 ms where only its envelope is (parametric codecs)."""
    made = subject(name)
    codec = made.codec
    parametric = made.point.kind == "parametric"
    most = codec.delay + codec.sample_rate // 20
    found = []
    for seed in range(3):
        wave = pad(codec, bursts(codec.sample_rate, 20.0 if parametric else 4.0, seed))
        decoded = codec.decode(codec.encode([wave]))[0][: len(wave)]
        if parametric:
            found.append(lag(envelope(wave, codec.sample_rate), envelope(decoded, codec.sample_rate), most))
        else:
            found.append(lag(wave, decoded, most))
    assert np.mean(found) == pytest.approx(codec.delay, abs=0.0005 * codec.sample_rate if parametric else 0.5)
