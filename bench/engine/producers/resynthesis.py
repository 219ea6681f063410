"""Resynthesis: speech through the codec and back, by way of the bytes that are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bench import audio
from bench.coding import codec as coding
from bench.coding.codec import Codec
from bench.coding.codes import Codes
from bench.coding.entropy import coded_bits
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.records import audio_record
from bench.speech import Utterance
from bench.validity.facts import decoded_facts, original_facts

if TYPE_CHECKING:
    from bench.engine.keys import Keys


@dataclass(frozen=True)
class Resynthesis(Producer):
    """The recording called `heard` ("": the utterance's own audio) through the codec."""

    role: str = "resynthesis"
    heard: str = ""

    id: ClassVar[str] = "resynthesis"
    version: ClassVar[str] = "1"

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item, self.heard)]

    def has_what_it_needs(self, item: Utterance) -> bool:
        return self.heard in item.recordings if self.heard else super().has_what_it_needs(item)

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        waves = [item.read(codec.sample_rate, self.heard)[0] for item in items]
        records = transcode(codec, waves, clock)
        for item, wave, record in zip(items, waves, records, strict=True):
            record["odd"] |= original_facts(item.recording(self.heard), item.channel, wave, codec.sample_rate)
        return [{"": record} for record in records]


def transcode(codec: Codec, waves: Sequence[coding.Wave], clock: Clock) -> list[dict[str, Any]]:
    """Code waves of one length bucket together. One record each: codes, decoded FLAC at the codec's rate, facts.

    The compute time of a batch is shared out by duration.
    """
    codes, encode_s = clock.time(lambda: coding.encode(codec, waves))
    # What is decoded is what was sent: the bytes, not the objects that encoding left behind.
    sent = [item.to_bytes() for item in codes]
    received = [Codes.from_bytes(item) for item in sent]
    raw, decode_s = clock.time(lambda: coding.decode_whole(codec, received))
    total = sum(map(len, waves))
    records = []
    for wave, item, data, out in zip(waves, received, sent, raw, strict=True):
        share = len(wave) / total
        fitted = coding.fit(codec, out, len(wave))
        excess = len(out) - coding.output_samples(codec, len(coding.pad(codec, wave)))
        records.append(
            audio_record(fitted, codec.output_rate, len(out) - coding.output_samples(codec, codec.delay + len(wave)))
            | {
                "odd": decoded_facts(fitted, codec.output_rate, excess, coding.output_samples(codec, codec.frame)),
                "input_sha256": audio.sha256(wave, codec.sample_rate),
                "codes": data,
                "codes_sha256": item.sha256,
                "encode_s": encode_s * share,
                "decode_s": decode_s * share,
                "bits_nominal": item.nominal_bits,
                "bits_packed": item.payload_bits,
                "bits_entropy": coded_bits(item),
                "batch": len(waves),
            }
        )
    return records
