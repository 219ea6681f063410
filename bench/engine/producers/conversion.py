"""Voice conversion by whatever means a codec has: its own `convert`, else the swap of codebooks.

Swap: the first codebook of a residual codec carries most of what is said, the others most of who says it. The first
codebook of the source is decoded with codebooks 2 to K of the enrolment (FocalCodec, arXiv 2502.04465, section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.coding import codec as coding
from bench.coding.codec import Codec, Converts, Wave
from bench.coding.codes import Codes, Part, Tokens
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.records import audio_record
from bench.errors import BadAudio, BenchError
from bench.speech import Utterance

if TYPE_CHECKING:
    from bench.engine.keys import Keys

OWN, SWAP = "convert", "swap"


class NoConversion(BenchError):
    """A codec that has no way to convert."""

    kind = "no_conversion"


@dataclass(frozen=True)
class Conversion(Producer):
    """The utterance's audio in the voice of its enrolment. The wave has its own length; codes are not kept."""

    role: str = "converted"

    id: ClassVar[str] = "conversion"
    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[str]] = frozenset({"audio", "enrolment"})

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), *map(keys.digest, item.enrolment)]

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        return [{"": self._one(item, codec, clock)} for item in items]  # each has a voice of its own: no batches

    def _one(self, item: Utterance, codec: Codec, clock: Clock) -> dict[str, Any]:
        source = item.read(codec.sample_rate)[0]
        enrolment = item.read_enrolment(codec.sample_rate)
        (wave, method), spent = clock.time(lambda: convert(codec, source, enrolment))
        return audio_record(wave, codec.output_rate) | {"method": method, "convert_s": spent}


def convert(codec: Codec, source: Wave, enrolment: Sequence[Wave]) -> tuple[Wave, str]:
    """What source [T] says in the voice of the enrolment waves -> (wave [about T], method). Raises NoConversion."""
    if not enrolment:
        raise BadAudio("voice conversion needs at least one enrolment wave of the target speaker")
    if isinstance(codec, Converts):
        wave = codec.convert(coding.check_wave(source), [coding.check_wave(one) for one in enrolment])
        return np.asarray(wave, np.float32), OWN
    said, voice = coding.encode(codec, [source, np.concatenate(list(enrolment))])
    [decoded] = coding.decode(codec, [swap(said, voice)], [len(source)])
    return decoded, SWAP


def swap(said: Codes, voice: Codes) -> Codes:
    """`said` with every codebook but the first one taken from `voice`; what is sent once stays. Raises NoConversion."""
    streams = [part for part in said.parts if isinstance(part, Tokens) and part.rate_hz > 0]
    if not streams:
        raise NoConversion("it sends no tokens, and converts by no means of its own")
    if sum(len(stream.sizes) for stream in streams) < 2:
        raise NoConversion("a single codebook cannot be taken apart, and it converts by no means of its own")
    first = streams[0].name
    parts: list[Part] = []
    for part in said.parts:
        if not isinstance(part, Tokens) or part.rate_hz == 0:
            parts.append(part)
            continue
        other = voice.part(part.name)
        assert isinstance(other, Tokens)
        columns = fitted(other.indices, len(part.indices))
        if part.name == first:
            columns[:, 0] = part.indices[:, 0]
        parts.append(Tokens(part.name, part.rate_hz, part.sizes, columns))
    return Codes(tuple(parts), said.num_samples, said.sample_rate)


def fitted(indices: NDArray[np.int32], frames: int) -> NDArray[np.int32]:
    """[N, K] -> a copy of [frames, K]: cut at the end, or repeated in a circle, half of what is missing on each side."""
    if len(indices) == 0:
        raise BadAudio("the enrolment is too short: it gives no token")
    missing = frames - len(indices)
    if missing <= 0:
        return indices[:frames].copy()
    return np.take(indices, np.arange(-(missing // 2), frames - missing // 2), axis=0, mode="wrap")
