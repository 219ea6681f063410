"""What the bench asks of a codec: every breach of the contract is a typed error that names the codec, never a wrong number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bench.coding.codec import Codec, decode, decode_whole, encode, fit, roundtrip
from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.errors import BadCodec, BadCodes, BenchError

RATE = 16000
WAVE = np.random.default_rng(0).normal(0, 0.1, 1600).astype(np.float32)


class Eight(Codec):
    """Eight bits a sample; `given` and `returned` spoil what encode and decode return."""

    sample_rate = RATE

    def __init__(self, given: Callable[[Any], Any] = list, returned: Callable[[Any], Any] = list) -> None:
        self.given, self.returned = given, returned

    def encode(self, waves: Any) -> Any:
        return self.given([self.one(wave) for wave in waves])

    def one(self, wave: Any) -> Codes:
        indices = np.clip(np.round(wave * 128 + 128), 0, 255).astype(np.int32)[:, None]
        return Codes((Tokens("samples", RATE, (256,), indices),), len(wave), RATE)

    def decode(self, codes: Any) -> Any:
        return self.returned([(item.part("samples").indices[:, 0] / 128 - 1).astype(np.float32) for item in codes])


def test_an_honest_codec_passes() -> None:
    codes, decoded = roundtrip(Eight(), WAVE)
    np.testing.assert_allclose(decoded, WAVE, atol=1 / 256)
    assert codes.payload_bits == 8 * len(WAVE)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda waves: waves[:-1], "returned 1 waves where 2"),
        (lambda waves: [*waves, waves[0]], "returned 3 waves where 2"),
        (lambda waves: [np.stack([wave, wave]) for wave in waves], r"mono waves \[T\], not \[2, 1600\]"),
        (lambda waves: [np.stack([wave, wave], axis=1) for wave in waves], r"not \[1600, 2\]"),
        (lambda waves: [(wave * 32768).astype(np.int16) for wave in waves], "float samples in .* not int16"),
        (lambda waves: [wave.astype(complex) for wave in waves], "not complex128"),
        (lambda waves: [None for _ in waves], "not object"),
        (lambda waves: [1.5 for _ in waves], r"mono waves \[T\], not \[\]"),
        (lambda waves: None, "a list of waves, not NoneType"),
        (lambda waves: 3, "a list of waves, not int"),
    ],
)
def test_what_decode_returns_is_checked(spoil: Any, words: str) -> None:
    codec = Eight(returned=spoil)
    codes = encode(codec, [WAVE, WAVE[::-1].copy()])
    with pytest.raises(BadCodec, match="Eight: decode .*" + words):
        decode(codec, codes, [len(WAVE)] * 2)


def test_a_batch_axis_of_one_and_doubles_are_taken() -> None:
    for spoil in (lambda waves: [wave[None] for wave in waves], lambda waves: [wave.astype(np.float64) for wave in waves]):
        _, decoded = roundtrip(Eight(returned=spoil), WAVE)
        assert decoded.shape == WAVE.shape and decoded.dtype == np.float32


def test_what_is_not_finite_is_passed_on_to_be_counted() -> None:
    _, decoded = roundtrip(Eight(returned=lambda waves: [np.full_like(wave, np.nan) for wave in waves]), WAVE)
    assert np.isnan(decoded).all()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda codes: codes[:-1], BadCodec, "returned 0 Codes where 1"),
        (lambda codes: codes * 2, BadCodec, "returned 2 Codes where 1"),
        (lambda codes: [item.to_bytes() for item in codes], BadCodec, "returns Codes, not bytes"),
        (lambda codes: None, BadCodec, "a list of Codes, not NoneType"),
        (lambda codes: [Codes(item.parts, 17, RATE) for item in codes], BenchError, "17"),
        (lambda codes: [Codes(item.parts, item.num_samples, 8000) for item in codes], BadCodes, "at 8000 Hz"),
    ],
)
def test_what_encode_returns_is_checked(spoil: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        encode(Eight(given=spoil), [WAVE])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frame", 0),
        ("frame", -320),
        ("frame", 320.0),
        ("frame", None),
        ("sample_rate", 0),
        ("sample_rate", "16000"),
        ("sample_rate", None),
        ("min_samples", -1),
        ("delay", -5),
        ("delay", 0.5),
        ("frame", True),
    ],
)
def test_attributes_of_the_contract_are_checked(name: str, value: Any) -> None:
    codec = Eight()
    setattr(codec, name, value)
    with pytest.raises(BadCodec, match=f"Eight: {name} is a whole number"):
        encode(codec, [WAVE])


@pytest.mark.parametrize(
    ("indices", "sizes", "words"),
    [
        (np.array([[0.5]]), (4,), "whole numbers, not float64"),
        (np.array([[1.0]], np.float32), (4,), "whole numbers"),
        (np.array([[True]]), (4,), "whole numbers, not bool"),
        (np.array([[4]]), (4,), "outside"),
        (np.array([[-1]]), (4,), "outside"),
        (np.array([[1 << 40]]), (4,), "outside"),
        (np.array([1, 2]), (4,), "do not fit"),
        (np.array([[[1]]]), (4,), "do not fit"),
        (np.array([[0]]), (0,), "at least 1"),
        (np.array([[0]]), (2.5,), "at least 1"),
        (np.array([[0]]), (1 << 40,), "at least 1"),
    ],
)
def test_indices_are_checked(indices: Any, sizes: Any, words: str) -> None:
    with pytest.raises(BadCodes, match=words):
        Tokens("content", 50.0, sizes, indices)


def test_what_is_too_short_is_completed_and_the_delay_taken_off() -> None:
    codec = Eight()
    codec.delay = 3
    np.testing.assert_array_equal(fit(codec, np.arange(6, dtype=np.float32), 5), [3, 4, 5, 0, 0])


# Bits cannot lie: what is not counted carries nothing.


class Named(Eight):
    """Sends everything in the name of an empty part."""

    def one(self, wave: Any) -> Codes:
        data = np.clip(np.round(wave * 128 + 128), 0, 255).astype(np.uint8).tobytes().hex()
        return Codes((Packets(data, 50.0, ()),), len(wave), RATE)


class ManyNames(Eight):
    """The same in small names, few enough to pass once: they differ from message to message."""

    def one(self, wave: Any) -> Codes:
        data = np.clip(np.round(wave * 128 + 128), 0, 255).astype(np.uint8).tobytes().hex()
        return Codes(tuple(Vector(f"{k}{data[30 * k : 30 * k + 30]}", np.zeros(0)) for k in range(8)), len(wave), RATE)


class Frames(Eight):
    """Declares frames of one bit and fills them with bytes."""

    def one(self, wave: Any) -> Codes:
        data = np.clip(np.round(wave * 128 + 128), 0, 255).astype(np.uint8).tobytes()
        return Codes((Packets("frames", 50.0, (data,), frame_bits=1),), len(wave), RATE)


class Sizes(Eight):
    """Sends the sum of the wave as the size of a codebook whose only token is 0."""

    def one(self, wave: Any) -> Codes:
        return Codes((Tokens("t", 0.0, (1 + int(1e6 * abs(float(wave.sum()))),), np.zeros((1, 1), int)),), len(wave), RATE)


class Counts(Eight):
    """Sends a number as the count of tokens of no bits."""

    def one(self, wave: Any) -> Codes:
        return Codes((Tokens("t", 50.0, (1,), np.zeros((100_000, 1), int)),), len(wave), RATE)


class Empties(Eight):
    """Sends a number as the place of one byte among empty packets."""

    def one(self, wave: Any) -> Codes:
        return Codes((Packets("p", 50.0, (b"",) * 100_000 + (b"x",)),), len(wave), RATE)


class Rates(Eight):
    """Sends a number as the rate of a part."""

    def one(self, wave: Any) -> Codes:
        return Codes((Tokens("t", 50 + abs(float(wave.sum())), (2,), np.zeros((5, 1), int)),), len(wave), RATE)


@pytest.mark.parametrize("codec", [Named, ManyNames, Frames, Sizes, Counts, Empties, Rates])
def test_payload_outside_of_the_counted_bits_is_refused(codec: type[Eight]) -> None:
    liar = codec()
    with pytest.raises(BadCodes):
        encode(liar, [WAVE, WAVE[::-1].copy() * np.float32(0.7) + np.float32(0.01)])


@pytest.mark.parametrize(
    "parts",
    [
        tuple(Vector(f"part{k}", np.zeros(1)) for k in range(40)),
        (Vector("a", np.zeros(1)), Vector("a", np.ones(1))),
        (Tokens("t", 50.0, (1 << 20,) * 400, np.zeros((1, 400), int)),),
    ],
)
def test_the_header_is_bounded(parts: Any) -> None:
    with pytest.raises(BadCodes):
        Codes(parts, RATE, RATE)


@pytest.mark.parametrize("name", ["", "x" * 41, "a\nb", "\x00", 5, None])
def test_names_of_parts_are_bounded(name: Any) -> None:
    for make in (
        lambda: Tokens(name, 1.0, (2,), np.zeros((1, 1), int)),
        lambda: Packets(name, 1.0, ()),
        lambda: Vector(name, np.zeros(1)),
    ):
        with pytest.raises(BadCodes, match="name"):
            make()


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, "50", None, True])
def test_rates_of_parts_are_numbers(rate: Any) -> None:
    with pytest.raises(BadCodes, match="rate_hz"):
        Tokens("t", rate, (2,), np.zeros((1, 1), int))


@pytest.mark.parametrize("payload", [b"\xff\xff", b"\xe1", b"\xe0\x00"])
def test_a_frame_holds_no_more_than_its_bits(payload: bytes) -> None:
    assert Packets("p", 50.0, (b"\xe0", b""), frame_bits=3).bits == 6
    with pytest.raises(BadCodes, match="more than its frame_bits, 3"):
        Packets("p", 50.0, (payload,), frame_bits=3)


def test_a_codec_may_be_a_frozen_dataclass() -> None:
    @dataclass(frozen=True)
    class Frozen(Eight):
        bits: int = 8
        given: Any = list
        returned: Any = list

    roundtrip(Frozen(), WAVE)
    roundtrip(Frozen(), WAVE[:100])


def test_whole_waves_keep_delay_and_padding() -> None:
    codec = Eight(returned=lambda waves: [np.pad(wave, (0, 7)) for wave in waves])
    [wave] = decode_whole(codec, encode(codec, [WAVE]))
    assert len(wave) == len(WAVE) + 7
