"""Classical codecs: their codes are the bitstream, bit for bit, and the tables are the standards' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.adapters.codec2 import Codec2
from bench.adapters.ffmpeg import FORMATS, G722, AmrNb, Opus
from bench.adapters.identity import Identity
from bench.adapters.mulaw import compress, expand
from bench.audio import to_pcm16
from bench.coding.codec import pad, roundtrip
from bench.coding.codes import Packets, Tokens, pack_bits
from bench.errors import BadCard, BadCodes

Signal = Callable[..., NDArray[np.float32]]


def test_identity_is_lossless_for_16_bit_audio() -> None:
    wave = np.arange(-32768, 32768, dtype=np.float32) / 32768
    codes, decoded = roundtrip(Identity(16000), wave)
    np.testing.assert_array_equal(decoded, wave)
    assert codes.payload_bits == 16 * len(wave)


def test_mulaw_levels_are_those_of_libavcodec() -> None:
    import av

    context = av.CodecContext.create("pcm_mulaw", "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = 16000, av.AudioLayout("mono")
    [frame] = context.decode(av.Packet(bytes(range(256))))
    np.testing.assert_array_equal(expand(np.arange(256)), frame.to_ndarray().reshape(-1))


def test_mulaw_codes_the_nearest_level_and_both_signs_alike() -> None:
    pcm = np.arange(-32768, 32768).astype(np.int16)
    levels = np.sort(expand(np.arange(256)).astype(np.int64))
    nearest = np.abs(pcm[:, None].astype(np.int64) - levels[None, :]).min(axis=1)
    np.testing.assert_array_equal(np.abs(expand(compress(pcm)).astype(np.int64) - pcm), nearest)
    np.testing.assert_array_equal(expand(compress(-pcm[1:])), -expand(compress(pcm[1:])))
    used = compress(expand(np.arange(256)))
    assert set(range(256)) - set(used.tolist()) == {0x7F}, "minus zero is the only level with two codes"


@pytest.mark.parametrize(("bit_rate", "bits"), [(4750, 95), (7950, 159), (12200, 244)])
def test_amr_frames_are_exact_bits_and_restore_the_file_frames(bit_rate: int, bits: int, bursts: Signal) -> None:
    codec = AmrNb({"bit_rate": bit_rate})
    wave = bursts(8000, 1.0)[: 50 * codec.frame]
    packets = codec._packets(wave)
    [codes] = codec.encode([wave])
    assert codec._restore(codes) == packets
    assert codes.payload_bits == bits * 50 == bit_rate * len(wave) // 8000


def test_amr_refuses_a_rate_that_is_no_mode() -> None:
    with pytest.raises(BadCard, match="12200"):
        AmrNb({"bit_rate": 12000})


def test_g722_tokens_restore_the_bitstream(bursts: Signal) -> None:
    codec = G722({})
    wave = bursts(16000, 1.0)
    packets = codec._packets(wave)
    [codes] = codec.encode([wave])
    assert b"".join(codec._restore(codes)) == b"".join(packets)
    assert codes.payload_bits == 64000


@pytest.mark.parametrize(("name", "settings", "bits"), [
    ("mp3", {"bit_rate": 16000}, 16000),
    ("mp3", {"bit_rate": 32000}, 32000),
    ("opus", {"bit_rate": 12000, "options": {"vbr": "off", "application": "voip"}}, 12000),
])  # fmt: skip
def test_constant_rates_are_met_exactly(name: str, settings: dict[str, Any], bits: int, bursts: Signal) -> None:
    codec = FORMATS[name](settings)
    wave = pad(codec, bursts(16000, 2.0))
    [codes] = codec.encode([wave])
    assert codes.payload_bits == bits * len(wave) // 16000


def test_variable_opus_stays_near_its_target(bursts: Signal) -> None:
    codec = Opus({"bit_rate": 12000, "options": {"vbr": "on", "application": "voip"}})
    [codes] = codec.encode([pad(codec, bursts(16000, 6.0))])
    assert 0.7 * 12000 < codes.payload_bits / codes.seconds < 1.2 * 12000
    part = codes.part("packets")
    assert isinstance(part, Packets)
    assert len({len(payload) for payload in part.payloads}) > 5


@pytest.mark.parametrize("bit_rate", [3200, 2400, 1200, 700])
def test_codec2_fields_are_the_bits_of_the_librarys_own_binding(bit_rate: int, bursts: Signal) -> None:
    import pycodec2

    codec, reference = Codec2(bit_rate), pycodec2.Codec2(bit_rate)
    wave = pad(codec, bursts(8000, 2.0))
    [codes] = codec.encode([wave])
    part = codes.part("fields")
    assert isinstance(part, Tokens)
    widths = np.array(codec.fields)
    frames = to_pcm16(wave).reshape(-1, codec.frame)
    for row, frame in zip(part.indices, frames, strict=True):
        assert pack_bits(row, widths) == bytes(reference.encode(frame))
    assert codes.payload_bits == bit_rate * len(wave) // 8000
    if codec.fields[-1] < 3 and bit_rate != 700:
        assert not part.indices[:, -1].any(), "spare bits are sent as zero: the fields are where they are thought to be"


def test_codec2_decodes_alike_again_and_beside_the_other_binding(bursts: Signal) -> None:
    """The library's random phases would go on from wherever the process left them."""
    import pycodec2

    codec = Codec2(1200)
    [codes] = codec.encode([pad(codec, bursts(8000, 2.0))])
    first = codec.decode([codes])[0]
    other = pycodec2.Codec2(1200)
    for _ in range(9):
        other.decode(bytes(range(6)))
    np.testing.assert_array_equal(codec.decode([codes])[0], first)


def test_codes_of_another_codec_are_refused(bursts: Signal) -> None:
    [codes] = AmrNb({"bit_rate": 4750}).encode([bursts(8000, 1.0)])
    with pytest.raises(BadCodes, match="octets"):
        Opus({"bit_rate": 6000}).decode([codes])
