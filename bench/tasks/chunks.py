"""Speech through a codec chunk by chunk, as a producer: windows of an offline codec, or a codec's own streams.

An offline codec codes each chunk together with what came before it; neighbouring chunks overlap and are joined by a
linear cross-fade (FocalCodec, arXiv 2502.04465, Table 9). A codec with streams (`bench.coding.codec.Streams`) takes the chunks
as they are. Every piece of output is noted with the input that had come when it was finished, and with the time it took.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.coding import codec as coding
from bench.coding.codec import Codec, Streams, Wave
from bench.coding.codes import Codes
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.records import audio_record
from bench.speech import Utterance
from bench.validity.facts import decoded_facts, original_facts

if TYPE_CHECKING:
    from bench.engine.keys import Keys


@dataclass(frozen=True)
class Sizes:
    """Samples at the codec's rate: of a chunk, of what is coded again before it, of what neighbours share."""

    chunk: int
    context: int = 0
    overlap: int = 0

    @classmethod
    def of(cls, rate_hz: int, chunk_ms: float, context_ms: float, overlap: float) -> Sizes:
        """At `rate_hz`; overlap: as a share of a chunk."""
        chunk = max(2, round(chunk_ms * rate_hz / 1000))
        return cls(chunk, round(context_ms * rate_hz / 1000), min(chunk - 1, round(overlap * chunk)))


@dataclass
class Piece:
    """Output [n] that a chunk finished. came: input samples that had come by then. seconds: of computing."""

    wave: Wave
    came: int
    seconds: float


@dataclass(frozen=True)
class Chunked(Producer):
    """An utterance's audio in chunks of `chunk_ms`. Codes are not kept, since every window has its own;
    `nominal_kbps` is the card's rate, of which a share is sent twice where chunks overlap."""

    role: str = "chunked"
    chunk_ms: float = 500.0
    context_ms: float = 3000.0
    overlap: float = 0.04
    nominal_kbps: float | None = None

    id: ClassVar[str] = "chunked"
    version: ClassVar[str] = "1"

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), self.chunk_ms, self.context_ms, self.overlap, self.nominal_kbps]

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        return [{"": self._one(item, codec, clock)} for item in items]  # one listener at a time: no batches

    def _one(self, item: Utterance, codec: Codec, clock: Clock) -> dict[str, Any]:
        rate = codec.sample_rate
        wave = coding.check_wave(item.read(rate)[0])
        sizes = Sizes.of(rate, self.chunk_ms, self.context_ms, self.overlap)
        pieces = list(stream(codec, wave, sizes, clock))
        decoded = np.concatenate([piece.wave for piece in pieces])
        fitted = _fitted(codec, decoded, len(wave))
        facts = {
            "latency_ms": {"value": 1000 * latency(codec, pieces) / rate},
            "look_ahead_ms": {"value": 1000 * _known_look_ahead(codec, sizes) / rate},
            "first_sample_ms": {"value": 1000 * first_sample_s(codec, pieces)},
            "chunk_times": {"value": None, "detail": json.dumps([round(piece.seconds, 6) for piece in pieces])},
        }
        spent, lasts = sum(piece.seconds for piece in pieces), len(wave) / rate
        facts["rtf_chunks"] = {"value": spent / lasts, "num": spent, "den": lasts}
        if self.nominal_kbps is not None:
            twice = 1.0 if isinstance(codec, Streams) else sizes.chunk / (sizes.chunk - sizes.overlap)
            kbits = self.nominal_kbps * twice * lasts
            facts["bitrate_nominal"] = {"value": kbits / lasts, "num": kbits, "den": lasts}
        odd = decoded_facts(fitted, codec.output_rate) | original_facts(item.recording(), item.channel, wave, rate)
        return audio_record(fitted, codec.output_rate) | {"odd": odd, "facts": facts}


def stream(codec: Codec, wave: Wave, sizes: Sizes, clock: Clock) -> Iterator[Piece]:
    """wave [T] at the codec's rate -> the pieces of its output in order."""
    return _streamed(codec, wave, sizes, clock) if isinstance(codec, Streams) else _windows(codec, wave, sizes, clock)


def _windows(codec: Codec, wave: Wave, sizes: Sizes, clock: Clock) -> Iterator[Piece]:
    held, start = np.zeros(0, np.float32), 0
    while True:
        end = min(start + sizes.chunk, len(wave))
        window = wave[max(0, start - sizes.context) : end]
        decoded, seconds = clock.time(partial(_by_bytes, codec, window))
        at, until = (coding.output_samples(codec, place) for place in (start, end))
        new = decoded[max(0, len(decoded) - (until - at)) :]
        new = np.pad(new, (until - at - len(new), 0))
        out = crossfade(held, new)
        last = end == len(wave)
        keep = 0 if last else until - coding.output_samples(codec, end - sizes.overlap)
        held = out[len(out) - keep :]
        yield Piece(out[: len(out) - keep], end, seconds)
        if last:
            return
        start = end - sizes.overlap


def _by_bytes(codec: Codec, window: Wave) -> Wave:
    """The window as a receiver hears it who got the bytes."""
    [codes] = coding.encode(codec, [window])
    [decoded] = coding.decode(codec, [Codes.from_bytes(codes.to_bytes())], [len(window)])
    return decoded


def crossfade(before: Wave, after: Wave) -> Wave:
    """`after` [n], whose first samples are faded in over `before` [m <= n], the end of the piece before it."""
    weight = (np.arange(len(before), dtype=np.float32) + 1) / (len(before) + 1)
    joined = after.copy()
    joined[: len(before)] = before + weight * (after[: len(before)] - before)
    return joined


def _streamed(codec: Any, wave: Wave, sizes: Sizes, clock: Clock) -> Iterator[Piece]:
    padded = coding.pad(codec, wave)
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    for start in range(0, len(padded), sizes.chunk):
        some = padded[start : start + sizes.chunk]
        out, seconds = clock.time(partial(_pushed, encoder, decoder, some))
        if start + sizes.chunk >= len(padded):
            rest, more = clock.time(lambda: [decoder.push(encoder.flush()), decoder.flush()])
            out, seconds = np.concatenate([out, *rest]), seconds + more
        yield Piece(np.asarray(out, np.float32), start + len(some), seconds)


def _pushed(encoder: Any, decoder: Any, wave: Wave) -> Wave:
    out: Wave = decoder.push(encoder.push(wave))
    return out


def _fitted(codec: Codec, decoded: Wave, num_samples: int) -> Wave:
    """The whole output cut to the input's length."""
    if isinstance(codec, Streams):
        return coding.fit(codec, decoded, num_samples)
    length = coding.output_samples(codec, num_samples)
    return np.pad(decoded[:length], (0, max(0, length - len(decoded))))


def latency(codec: Codec, pieces: Sequence[Piece]) -> float:
    """Samples at the codec's rate from an input sample's coming to the going of the output that stands for it, the longest."""
    scale = codec.sample_rate / codec.output_rate
    delay = _left_delay(codec)
    starts = accumulate((len(piece.wave) for piece in pieces), initial=0)
    # What had no chunk behind it any more, at the end, waited for nothing.
    waits = [piece.came - (start * scale - delay) for start, piece in zip(starts, pieces, strict=False) if len(piece.wave)]
    return max(waits[:-1] or waits)


def _left_delay(codec: Codec) -> int:
    """Samples by which the output lags: windows had their delay taken out, streams still have it."""
    return codec.delay if isinstance(codec, Streams) else 0


def first_sample_s(codec: Codec, pieces: Sequence[Piece]) -> float:
    """Seconds from the first sample's coming to the first output, when chunks come in real time and are computed in turn."""
    ready = 0.0
    for piece in pieces:
        ready = max(ready, piece.came / codec.sample_rate) + piece.seconds
        if len(piece.wave):
            break
    return ready


def look_ahead(codec: Codec, sizes: Sizes, trials: int = 4) -> float:
    """Samples at the codec's rate from an output sample to the farthest later input that changes it, by perturbation.

    The input is changed from one place on, close to the end of a chunk and further and further before it; the first
    output sample that differs tells how far back the change reaches.
    """
    random = np.random.default_rng(0)
    wave, other = (random.normal(0, 0.1, 3 * sizes.chunk).astype(np.float32) for _ in range(2))
    clock = Clock("cpu")

    def through(signal: Wave) -> Wave:
        return np.concatenate([piece.wave for piece in stream(codec, signal, sizes, clock)])

    base, scale, farthest = through(wave), codec.sample_rate / codec.output_rate, 0.0
    end = 2 * sizes.chunk - sizes.overlap
    for trial in range(trials):
        place = end - max(1, (sizes.chunk * (2**trial - 1)) // 2**trials)
        changed = wave.copy()
        changed[place:] = other[place:]
        out = through(changed)
        moved = np.flatnonzero(out[: len(base)] != base[: len(out)])
        if len(moved):
            farthest = max(farthest, place + 1 - moved[0] * scale + _left_delay(codec))
    return farthest


def _known_look_ahead(codec: Codec, sizes: Sizes) -> float:
    """A codec's own, measured once for as long as it is loaded."""
    known: dict[Sizes, float] = vars(codec).get("_look_aheads", {})
    if sizes not in known:
        known[sizes] = look_ahead(codec, sizes)
        object.__setattr__(codec, "_look_aheads", known)  # a codec may be a frozen dataclass
    return known[sizes]
