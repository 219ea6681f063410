"""What goes wrong between a microphone and a listener, as a producer: lost frames, bit errors, tandem coding, poor input.

All of it is seeded by the utterance's id, the kind and the amount: every codec loses the same packets. There is no
concealment of a codec's own: what is lost is replaced by the last frame that came, the same simple receiver for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench import audio
from bench.coding import codec as coding
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Packets, Part, Tokens, Vector, pack_bits, unpack_bits
from bench.distortions import Random, clipping, low_level, narrow_band, reverberation
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.producers.resynthesis import transcode
from bench.engine.records import audio_record
from bench.errors import BadCodes, UnknownName
from bench.speech import Utterance

if TYPE_CHECKING:
    from bench.engine.keys import Keys

PACKET_S = 0.02
BURST_PACKETS = 5
"""Lost in a row, on average."""


@dataclass(frozen=True)
class Degraded(Producer):
    """An utterance through the codec under a `condition` of some `amount`."""

    role: str = "degraded"
    condition: str = ""
    amount: float = 0.0

    id: ClassVar[str] = "degraded"
    version: ClassVar[str] = "1"

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), item.id, self.condition, self.amount]

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        return [{"": self._one(item, codec, clock)} for item in items]

    def _one(self, item: Utterance, codec: Codec, clock: Clock) -> dict[str, Any]:
        rate = codec.sample_rate
        wave, random = coding.check_wave(item.read(rate)[0]), self._random(item)
        if self.condition in INPUTS:
            wave = INPUTS[self.condition](wave, rate, self.amount, random)
        elif self.condition in CHANNELS:
            return self._sent(codec, wave, random)
        elif self.condition == TANDEM:
            for _ in range(int(self.amount) - 1):
                _, wave = coding.roundtrip(codec, wave)
                wave = audio.resample(wave, codec.output_rate, rate)
        else:
            raise UnknownName("condition", self.condition, conditions())
        [record] = transcode(codec, [wave], clock)
        return record

    def _sent(self, codec: Codec, wave: Wave, random: Random) -> dict[str, Any]:
        """Through a channel: the bits are those that were sent, the wave is what came."""
        [codes] = coding.encode(codec, [wave])
        came = CHANNELS[self.condition](codes, self.amount, random)
        [out] = coding.decode(codec, [Codes.from_bytes(came.to_bytes())], [len(wave)])
        seconds = len(wave) / codec.sample_rate
        facts = {
            f"bitrate_{name}": {"value": bits / seconds / 1000, "num": bits / 1000, "den": seconds}
            for name, bits in (("nominal", codes.nominal_bits), ("packed", float(codes.payload_bits)))
        }
        return audio_record(out, codec.output_rate) | {"facts": facts}

    def _random(self, item: Utterance) -> Random:
        digest = hashlib.sha256(f"{item.id}/{self.condition}/{self.amount:g}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little"))


TANDEM = "tandem"


def conditions() -> tuple[str, ...]:
    """Every condition by name."""
    return (*CHANNELS, TANDEM, *INPUTS)


def random_loss(codes: Codes, share: float, random: Random) -> Codes:
    """Each packet is lost with probability `share`."""
    return without(codes, random.random(_packets(codes)) < share)


def bursty_loss(codes: Codes, share: float, random: Random) -> Codes:
    """Packets are lost in bursts (Gilbert's two states), `share` of them in the long run."""
    draws, lost = random.random(_packets(codes) + 1), np.zeros(_packets(codes), bool)
    begin, end = share / (1 - share) / BURST_PACKETS, 1 / BURST_PACKETS
    state = bool(draws[0] < share)
    for place, draw in enumerate(draws[1:]):
        lost[place] = state
        state = bool(draw >= end) if state else bool(draw < begin)
    return without(codes, lost)


def _packets(codes: Codes) -> int:
    return max(1, int(np.ceil(codes.seconds / PACKET_S)))


def without(codes: Codes, lost: NDArray[np.bool_]) -> Codes:
    """`codes` with what begins in a lost packet [P] replaced by the last that came; before the first, by that one. What is
    sent once comes."""
    return Codes(tuple(_held(part, lost) for part in codes.parts), codes.num_samples, codes.sample_rate)


def _held(part: Part, lost: NDArray[np.bool_]) -> Part:
    if isinstance(part, Vector) or part.rate_hz == 0:
        return part
    count = len(part.indices) if isinstance(part, Tokens) else len(part.payloads)
    at = np.minimum((np.arange(count) / part.rate_hz / PACKET_S + 1e-9).astype(int), len(lost) - 1)
    came = np.flatnonzero(~lost[at])
    if len(came) == 0:  # nothing came at all: the first frame stands for everything
        came = np.zeros(1, np.intp)
    source = came[np.maximum(np.searchsorted(came, np.arange(count), side="right") - 1, 0)] if count else np.arange(0)
    if isinstance(part, Tokens):
        return Tokens(part.name, part.rate_hz, part.sizes, part.indices[source])
    return Packets(part.name, part.rate_hz, tuple(part.payloads[place] for place in source), part.frame_bits)


def bit_errors(codes: Codes, share: float, random: Random) -> Codes:
    """Each packed bit is turned with probability `share`. An index beyond its codebook becomes its last entry; a value that
    is no number any more becomes 0."""
    return Codes(tuple(_flipped(part, share, random) for part in codes.parts), codes.num_samples, codes.sample_rate)


def _flipped(part: Part, share: float, random: Random) -> Part:
    if isinstance(part, Tokens):
        widths = np.tile(part.widths, len(part.indices))
        data = _turned(pack_bits(part.indices.reshape(-1), widths), int(widths.sum()), share, random)
        indices = unpack_bits(data, widths).reshape(part.indices.shape)
        return Tokens(part.name, part.rate_hz, part.sizes, np.minimum(indices, np.array(part.sizes) - 1))
    if isinstance(part, Packets):
        each = (_turned(one, part.frame_bits or 8 * len(one), share, random) for one in part.payloads)
        return Packets(part.name, part.rate_hz, tuple(each), part.frame_bits)
    if isinstance(part, Vector):
        data = part.values.astype("<f2").tobytes()
        values = np.frombuffer(_turned(data, 8 * len(data), share, random), "<f2")
        return Vector(part.name, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))
    raise BadCodes(f"part '{part}' has no bits to turn")


def _turned(data: bytes, bits: int, share: float, random: Random) -> bytes:
    """`data` with each of its first `bits` bits turned with probability `share`."""
    errors = np.zeros(8 * len(data), np.uint8)
    count = min(bits, errors.size)
    errors[:count] = random.random(count) < share
    return (np.frombuffer(data, np.uint8) ^ np.packbits(errors)).tobytes()


CHANNELS: Mapping[str, Callable[[Codes, float, Random], Codes]] = {
    "random loss": random_loss, "bursty loss": bursty_loss, "bit errors": bit_errors,
}  # fmt: skip
INPUTS: Mapping[str, Callable[[Wave, int, float, Random], Wave]] = {
    "reverberation": reverberation, "low level": low_level, "clipping": clipping, "8 kHz": narrow_band,
}  # fmt: skip


def called(condition: str, amount: float) -> str:
    """How a table calls a condition: `random loss 5 %`, `tandem 2`, `low level 30 dB`."""
    if condition in CHANNELS:
        return f"{condition} {100 * amount:g} %"
    units = {"reverberation": f"{amount:g} s", "low level": f"{amount:g} dB", "clipping": f"{amount:g} dB", TANDEM: f"{amount:g}"}
    return f"{condition} {units[condition]}" if condition in units else condition


def listed(wanted: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float]]:
    """Condition and amount, one pair for each line. Raises UnknownName."""
    for condition, amounts in wanted.items():
        if condition not in conditions():
            raise UnknownName("condition", condition, conditions())
        yield from ((condition, float(amount)) for amount in amounts)
