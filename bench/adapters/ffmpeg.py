"""Classical codecs through PyAV and the libraries it carries: Opus, AMR-NB, G.722 and MP3.

Every message starts from a fresh encoder and decoder, so that utterances do not depend on each other. Encoders are
asked for exactly the frames of the padded wave: what an encoder holds back by its look-ahead comes out of the zeros
that `delay` makes the caller append, and what it would still flush after them is not sent.

Settings of a point: `format` (opus, amrnb, g722, mp3), `bit_rate` in bit/s, `delay` in samples at the codec's rate
where it differs from the format's own, and `options` for the encoder (libopus: vbr, application, frame_duration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.audio import resample, to_pcm16
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Packets, Tokens
from bench.errors import BadCard, BadCodes, UnknownName
from bench.fetch.weights import Weights

if TYPE_CHECKING:
    import av

VERSION = "1"


class Classical(Codec):
    """A libav encoder and decoder pair. Subclasses say what the packets are and how they are stored as codes."""

    encoder: ClassVar[str]
    decoder: ClassVar[str]
    sample_format: ClassVar[str] = "s16"
    decoded_hz: ClassVar[int]

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.bit_rate: int | None = settings.get("bit_rate")
        self.options: dict[str, str] = {key: str(value) for key, value in settings.get("options", {}).items()}
        self.delay = settings.get("delay", self.delay)

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def _encode(self, wave: Wave) -> Codes:
        packets = self._packets(wave)
        return Codes((self._store(packets),), len(wave), self.sample_rate)

    def _decode(self, codes: Codes) -> Wave:
        return self._samples(self._restore(codes))

    def _store(self, packets: Sequence[bytes]) -> Packets | Tokens:
        return Packets("packets", self.sample_rate / self.frame, tuple(packets))

    def _restore(self, codes: Codes) -> Sequence[bytes]:
        part = codes.part("packets")
        if not isinstance(part, Packets):
            raise BadCodes(f"{type(self).__name__}: expected packets, got {type(part).__name__}")
        return part.payloads

    def _packets(self, wave: Wave) -> list[bytes]:
        """wave [T], T a multiple of `frame` -> T / frame packets."""
        import av

        context = _context(self.encoder, "w", self.sample_rate, self.options)
        context.format = av.AudioFormat(self.sample_format)
        if self.bit_rate is not None:
            context.bit_rate = self.bit_rate
        context.open()
        samples = wave if self.sample_format.startswith("flt") else to_pcm16(wave)
        packets: list[bytes] = []
        for at in range(0, len(samples), self.frame):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + self.frame], self.sample_format, "mono")
            frame.sample_rate, frame.pts, frame.time_base = self.sample_rate, at, Fraction(1, self.sample_rate)
            packets += (bytes(packet) for packet in context.encode(frame))
        packets += (bytes(packet) for packet in context.encode(None))
        return packets[: len(samples) // self.frame]

    def _samples(self, packets: Sequence[bytes]) -> Wave:
        """Packets -> wave at `sample_rate`, its delay still in it."""
        import av

        context = _context(self.decoder, "r", self.decoded_hz, {})
        if (head := self._decoder_head()) is not None:
            context.extradata = head
        context.open()
        frames = [frame for packet in packets for frame in context.decode(av.Packet(packet))]
        frames += context.decode(None)
        decoded = [_float(frame.to_ndarray()) for frame in frames]
        wave = np.concatenate(decoded) if decoded else np.zeros(0, np.float32)
        return resample(wave, self.decoded_hz, self.sample_rate)

    def _decoder_head(self) -> bytes | None:
        return None


def _context(name: str, mode: str, rate_hz: int, options: Mapping[str, str]) -> av.AudioCodecContext:
    import av

    context: Any = av.CodecContext.create(av.Codec(name, mode))  # type: ignore[arg-type]
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.thread_count = rate_hz, av.AudioLayout("mono"), 1
    context.options = dict(options)
    return context


def _float(samples: NDArray[Any]) -> Wave:
    wave = samples.reshape(-1)
    return wave.astype(np.float32) / np.float32(32768) if wave.dtype == np.int16 else wave.astype(np.float32)


class Opus(Classical):
    """RFC 6716, coded from 16 kHz. Its decoder always speaks 48 kHz, brought back by the bench's resampler.

    The pre-skip that a file would announce is left in and counts as delay: 6.5 ms of look-ahead, less the phase of
    its inner resamplers.
    """

    encoder = decoder = "libopus"
    sample_format = "flt"
    sample_rate, decoded_hz, frame, delay = 16000, 48000, 320, 103

    def _decoder_head(self) -> bytes:
        # RFC 7845 section 5.1: version 1, one channel, pre-skip 0, input rate, gain 0, mapping family 0.
        return b"OpusHead\x01\x01\x00\x00" + self.sample_rate.to_bytes(4, "little") + b"\x00\x00\x00"


class AmrNb(Classical):
    """3GPP TS 26.071 through opencore-amr. Sent without the octet that repeats the mode before every frame.

    A frame is 95 to 244 bits, ordered by importance and no whole number of octets: tokens of 8 bits and a rest.
    """

    encoder = decoder = "libopencore_amrnb"
    sample_rate = decoded_hz = 8000
    frame, delay = 160, 39
    bits_per_frame: ClassVar[Mapping[int, tuple[int, int]]] = {
        4750: (0, 95), 5150: (1, 103), 5900: (2, 118), 6700: (3, 134),
        7400: (4, 148), 7950: (5, 159), 10200: (6, 204), 12200: (7, 244),
    }  # fmt: skip

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        if self.bit_rate is None or self.bit_rate not in self.bits_per_frame:
            raise BadCard(f"amrnb: bit_rate {self.bit_rate} is none of {sorted(self.bits_per_frame)}")
        mode, self.bits = self.bits_per_frame[self.bit_rate]
        # RFC 4867 section 5.3: mode in bits 3 to 6, then the quality bit, which says "not damaged".
        self.table_of_contents = mode << 3 | 4
        rest = self.bits % 8
        self.sizes = (256,) * (self.bits // 8) + ((1 << rest,) if rest else ())

    def _store(self, packets: Sequence[bytes]) -> Tokens:
        frames = np.frombuffer(b"".join(packets), np.uint8).reshape(len(packets), -1)
        if (frames[:, 0] != self.table_of_contents).any():
            raise BadCodes("amrnb: the encoder changed its mode; is discontinuous transmission on?")
        octets = frames[:, 1:].astype(np.int32)
        octets[:, self.bits // 8 :] >>= 8 - self.bits % 8
        return Tokens("octets", self.sample_rate / self.frame, self.sizes, octets)

    def _restore(self, codes: Codes) -> Sequence[bytes]:
        part = codes.part("octets")
        assert isinstance(part, Tokens)
        octets = part.indices.copy()
        octets[:, self.bits // 8 :] <<= 8 - self.bits % 8
        head = bytes([self.table_of_contents])
        return [head + row.astype(np.uint8).tobytes() for row in octets]


class G722(Classical):
    """ITU-T G.722 at 64 kbit/s: per pair of samples 2 bits of the upper and 6 bits of the lower band."""

    encoder = decoder = "g722"
    sample_rate = decoded_hz = 16000
    frame, delay = 320, 22

    def _store(self, packets: Sequence[bytes]) -> Tokens:
        octets = np.frombuffer(b"".join(packets), np.uint8).astype(np.int32)
        return Tokens("bands", self.sample_rate / 2, (4, 64), np.stack([octets >> 6, octets & 63], axis=1))

    def _restore(self, codes: Codes) -> Sequence[bytes]:
        part = codes.part("bands")
        assert isinstance(part, Tokens)
        octets = (part.indices[:, 0] << 6 | part.indices[:, 1]).astype(np.uint8).tobytes()
        step = self.frame // 2
        return [octets[at : at + step] for at in range(0, len(octets), step)]


class Mp3(Classical):
    """MPEG-2 audio layer III at 16 kHz through LAME, constant rate; frame headers are part of the stream."""

    encoder, decoder = "libmp3lame", "mp3float"
    sample_format = "fltp"
    sample_rate = decoded_hz = 16000
    frame, delay = 576, 1105


FORMATS: Mapping[str, type[Classical]] = {"opus": Opus, "amrnb": AmrNb, "g722": G722, "mp3": Mp3}


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec that the point's `format` names; unknown settings are errors."""
    check_settings(point, ["format"], ["bit_rate", "delay", "options"])
    name = point.settings["format"]
    if name not in FORMATS:
        raise BadCard(f"{point.name}: {UnknownName('format', name, FORMATS)}")
    return FORMATS[name](point.settings)
