"""Speex through its command-line tools speexenc and speexdec (Debian: package speex). One packet every 20 ms.

What is sent are the packets of the encoder's Ogg file, without its pages and headers; the decoder gets them in an Ogg file that
is made again around them. What the encoder would still flush after the wave is not sent: `delay` makes the caller append zeros.
Settings: `quality` (0 to 10), the encoder's.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from bench.adapters import check_settings
from bench.audio import to_pcm16
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Packets
from bench.errors import BadCard, BadCodes, BenchError
from bench.fetch.weights import Weights

VERSION = "1"

# Look-ahead of the encoder and delay of the filters, in samples, measured at quality 8.
DELAYS = {8000: 79, 16000: 222}
MODES = {8000: "--narrowband", 16000: "--wideband"}
LIMIT_S = 300.0


class ProgramFailed(BenchError):
    """A program that ended with an error, or gave no answer."""

    kind = "codec_error"


class Speex(Codec):
    """One quality at 8 kHz (narrow band) or 16 kHz (wide band)."""

    def __init__(self, sample_rate: int, quality: int) -> None:
        if sample_rate not in MODES:
            raise BadCard(f"speex: {sample_rate} Hz is none of 8000 (narrow band) and 16000 (wide band)")
        if not 0 <= quality <= 10:
            raise BadCard(f"speex: quality is {quality}, must be 0 to 10")
        self.sample_rate, self.quality = sample_rate, quality
        self.frame, self.delay = sample_rate // 50, DELAYS[sample_rate]

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def _encode(self, wave: Wave) -> Codes:
        packets = tuple(_packets(self._file(to_pcm16(wave).astype("<i2").tobytes()))[: len(wave) // self.frame])
        return Codes((Packets("packets", 50.0, packets),), len(wave), self.sample_rate)

    def _decode(self, codes: Codes) -> Wave:
        part = codes.part("packets")
        if not isinstance(part, Packets):
            raise BadCodes(f"speex: expected packets, got {type(part).__name__}")
        pcm = run("speexdec", ["-", "-"], self._ogg(part.payloads))
        return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)

    def _file(self, pcm: bytes) -> bytes:
        """Raw samples -> an Ogg file."""
        rate = ["--rate", str(self.sample_rate), "--le", "--16bit"]
        return run("speexenc", [MODES[self.sample_rate], "--quality", str(self.quality), *rate, "-", "-"], pcm)

    @cached_property
    def _header(self) -> bytes:
        """An Ogg file of one frame of silence, for its header."""
        return self._file(bytes(2 * self.frame))

    def _ogg(self, packets: Sequence[bytes]) -> bytes:
        """An Ogg file around packets. Its positions count whole frames, so that the decoder skips nothing at the start."""
        import av

        template = av.open(io.BytesIO(self._header))
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="ogg") as out:
            stream: Any = out.add_stream_from_template(template.streams.audio[0])
            for number, data in enumerate(packets):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, Fraction(1, self.sample_rate)
                packet.pts = packet.dts = number * self.frame
                packet.duration = self.frame
                out.mux(packet)
        return buffer.getvalue()


def _packets(ogg: bytes) -> list[bytes]:
    import av

    with av.open(io.BytesIO(ogg), "r") as source:
        return [bytes(packet) for packet in source.demux(source.streams.audio[0]) if packet.size]


def program(name: str) -> str:
    """The path of a program; raises BenchError that says how to get it."""
    found = shutil.which(name)
    if found is None:
        raise BenchError(f"speex needs the program {name}, which is not on the PATH. Cure: apt install speex")
    return found


def run(name: str, arguments: Sequence[str], data: bytes) -> bytes:
    """What the program writes when it reads `data`. Raises BenchError with the end of what it complained about."""
    try:
        done = subprocess.run([program(name), *arguments], input=data, capture_output=True, check=False, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{name} gave no answer within {LIMIT_S:.0f} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ProgramFailed(f"{name} ended with {done.returncode}: {said[0][-200:]}")
    return done.stdout


def load(point: Point, weights: Weights, device: str) -> Codec:
    """BadCard: a rate or quality that Speex does not have; BenchError: its programs are not here."""
    check_settings(point, ["quality"])
    for name in ("speexenc", "speexdec"):
        program(name)
    return Speex(point.sample_rate, int(point.settings["quality"]))
