"""Producers of the tasks that restore speech by its tokens: codes alone, and waves of tokens that a head predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.coding import codec as coding
from bench.coding.codec import Codec
from bench.coding.codes import Codes
from bench.data.two_voices import VOICES
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.producers.resynthesis import transcode
from bench.engine.records import audio_record
from bench.speech import Utterance

if TYPE_CHECKING:
    from bench.engine.keys import Keys


@dataclass(frozen=True)
class Encoded(Producer):
    """Codes of the recording called `heard`, of the length of what the codec hears; nothing is decoded or scored."""

    role: str = "encoded"
    heard: str = ""

    id: ClassVar[str] = "encoded"
    version: ClassVar[str] = "1"

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), keys.spoken(item, self.heard)]

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        waves = [as_long(item, codec.sample_rate, self.heard) for item in items]
        return [
            {"": {"codes": codes.to_bytes(), "seconds": len(wave) / codec.sample_rate, "finite": False}}
            for wave, codes in zip(waves, coding.encode(codec, waves), strict=True)
        ]


def as_long(item: Utterance, rate_hz: int, name: str) -> coding.Wave:
    """The recording `name` [T] at rate_hz, cut or filled with zeros to the length of what the codec hears."""
    wave = item.read(rate_hz, name)[0]
    if not name:
        return wave
    length = len(item.read(rate_hz)[0])
    return np.pad(wave[:length], (0, max(0, length - len(wave))))


@dataclass(frozen=True)
class Predicted(Producer):
    """Waves of codes that lie in a file (`save`) under "utterance/output". `key` tells what they were predicted by."""

    path: str = ""
    key: str = ""

    id: ClassVar[str] = "predicted"
    version: ClassVar[str] = "1"

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), self.key]

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        return [{name: self._one(item, name, codec) for name in self.outputs} for item in items]

    def _one(self, item: Utterance, output: str, codec: Codec) -> dict[str, Any]:
        codes = Codes.from_bytes(_opened(self.path)[f"{item.id}/{output}"].tobytes())
        # As many samples as came in; the codec's padding of them is in its codes.
        length = len(item.read(codec.sample_rate)[0])
        [wave] = coding.decode(codec, [codes], [length])
        seconds = length / codec.sample_rate
        facts = {
            f"bitrate_{name}": {"value": bits / seconds / 1000, "num": bits / 1000, "den": seconds}
            for name, bits in (("nominal", codes.nominal_bits), ("packed", float(codes.payload_bits)))
        }
        return audio_record(wave, codec.output_rate) | {"codes": codes.to_bytes(), "facts": facts}


@dataclass(frozen=True)
class PredictedVoices(Predicted):
    """The same of two voices."""

    outputs: ClassVar[tuple[str, ...]] = VOICES


def save(path: Path, codes: Mapping[str, Codes]) -> None:
    """Write codes, for `Predicted` to read, in one atomic step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **{name: np.frombuffer(one.to_bytes(), np.uint8) for name, one in codes.items()})
    part.replace(path)


@lru_cache(maxsize=4)
def _opened(path: str) -> Mapping[str, np.ndarray]:
    opened: Mapping[str, np.ndarray] = np.load(path)
    return opened


@dataclass(frozen=True)
class EachVoice(Producer):
    """The recordings called `heard` through the codec, one for each voice: s1 and s2, or the mixture for both."""

    role: str = "resynthesis"
    heard: tuple[str, str] = VOICES

    id: ClassVar[str] = "each voice"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[str, ...]] = VOICES

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), *(keys.spoken(item, name) for name in self.heard)]

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        names = list(dict.fromkeys(self.heard))
        records = {
            name: transcode(codec, [as_long(item, codec.sample_rate, name) for item in items], clock) for name in names
        }  # fmt: skip
        return [
            {voice: records[name][place] for voice, name in zip(VOICES, self.heard, strict=True)} for place in range(len(items))
        ]
