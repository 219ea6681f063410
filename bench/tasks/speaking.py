"""Text to speech as a producer: characters and a speaker's recording -> tokens by a trained decoder -> a wave by the codec.

The codec hears the enrolment recording only to tell what its messages look like, and what they say once of a speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import audio, definitions, device, metrics
from bench.coding import codec as coding
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.records import audio_record
from bench.errors import BadAudio, BenchError
from bench.metrics import MetricFailure, Signal
from bench.metrics._text import SPOKEN, normalise, word_errors
from bench.probes import text
from bench.probes.synthesis import jobs, streams
from bench.probes.synthesis.settings import Settings
from bench.speech import Utterance
from bench.validity.facts import decoded_facts

if TYPE_CHECKING:
    from bench.engine.keys import Keys

NORMALLY_DROPPED = set(".,;:!?\"'’‘“”()[]{}<>«»…-–—/_*&%$#@+=~`^|\\")
"""Marks that nobody speaks: left out of what a decoder reads. Letters beside a to z are refused."""


@dataclass(frozen=True)
class Spoken(Producer):
    """The text of an utterance in the voice of its enrolment, by the decoder in the file `weights`.

    weights_key: of the training, which stands for the decoder in keys. seed: of the training and of the samples.
    """

    role: str = "synthesis"
    weights: str = ""
    weights_key: str = ""
    seed: int = 0
    settings: Settings = field(default_factory=lambda: Settings("focalcodec"))
    device: str = "cpu"
    nominal_kbps: float | None = None

    id: ClassVar[str] = "spoken"
    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[str]] = frozenset({"text", "enrolment"})

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        about = (self.weights_key, self.seed, self.settings.asdict(), definitions.get(jobs.DEFINITION).identity)
        return [str(item.text), *map(keys.digest, item.enrolment), *about, self.nominal_kbps]

    def make(self, items: Sequence[Utterance], codec: Codec, clock: Clock) -> list[Made]:
        return [{"": self._one(item, codec, clock)} for item in items]  # a sample at a time, several tries of it together

    def _one(self, item: Utterance, codec: Codec, clock: Clock) -> dict[str, Any]:
        check_text(item)
        enrolment = np.concatenate(item.read_enrolment(codec.sample_rate))
        (waves, alike), spent = clock.time(lambda: self.say(str(item.text), enrolment, codec))
        best, rates = self._best(waves, codec, str(item.text), item.language)
        wave = waves[best]
        lasts = len(wave) / codec.output_rate
        facts: dict[str, Any] = {
            "synthesis_choice": {"value": float(best), "detail": " ".join(f"{rate:.2f}" for rate in rates)},
            "tokens_alike": {"value": alike[best][0] / alike[best][1], "num": alike[best][0], "den": alike[best][1]},
            "rtf_synthesis": {"value": spent / lasts, "num": spent, "den": lasts},
        }
        if self.nominal_kbps is not None:
            kbits = self.nominal_kbps * lasts
            facts["bitrate_nominal"] = {"value": kbits / lasts, "num": kbits, "den": lasts}
        return audio_record(wave, codec.output_rate) | {"odd": decoded_facts(wave, codec.output_rate), "facts": facts}

    def say(self, said: str, enrolment: Wave, codec: Codec) -> tuple[list[Wave], list[tuple[float, float]]]:
        """Every sample of a text in the voice of a recording [T] at the codec's rate; of each, how many of the recording's
        own tokens it has in their places, and out of how many."""
        import torch

        from bench.probes.synthesis.sampling import generate, generators

        where = device.own(self.device)
        [template] = coding.encode(codec, [enrolment])
        streams.check(type(codec).__name__, template)
        heard = audio.resample(enrolment, codec.sample_rate, metrics.find(self.settings.voice).rate_hz)
        [voice] = jobs.embed(self.settings.voice, [heard], where)
        if isinstance(voice, MetricFailure):
            raise BadAudio(f"no speaker vector can be had of the enrolment recording ({voice})")
        frames = max(len(stream.indices) for stream in streams.written(template))
        tokens = generate(
            jobs.load(Path(self.weights), self.settings, where),
            torch.from_numpy(voice).to(where),
            torch.tensor(text.encode(said), device=where),
            self.settings,
            generators(self.settings.samples, said, self.seed),
            frames,
        )
        made = [Codes.from_bytes(streams.message(template, one).to_bytes()) for one in tokens]
        return coding.decode(codec, made, [one.num_samples for one in made]), [_alike(template, one) for one in made]

    def _best(self, waves: Sequence[Wave], codec: Codec, said: str, language: str) -> tuple[int, list[float]]:
        """The first of the samples with the fewest wrong words, and the word error rate of each."""
        metric = metrics.find(self.settings.judge)
        assert metric.analyse is not None
        signals = [
            Signal(audio.resample(wave, codec.output_rate, metric.rate_hz), metric.rate_hz, said, language) for wave in waves
        ]
        wanted = normalise(said, SPOKEN)
        rates = []
        for found in metric.analyse(signals):
            if isinstance(found, MetricFailure):
                rates.append(float("inf"))
                continue
            errors = word_errors(wanted, normalise(str(found["transcript"]), SPOKEN))
            rates.append(errors.num / max(1.0, errors.den))
        return int(np.argmin(rates)), rates


def _alike(wanted: Codes, found: Codes) -> tuple[float, float]:
    """(equal tokens, tokens) of two messages of one layout; what only one of them has is not equal."""
    equal, count = 0, 0
    for one, other in zip(streams.written(wanted), streams.written(found), strict=True):
        both = min(len(one.indices), len(other.indices))
        equal += int((one.indices[:both] == other.indices[:both]).sum())
        count += max(one.indices.size, other.indices.size)
    return float(equal), float(count)


def check_text(item: Utterance) -> None:
    """Raises BenchError where an utterance has no text, or letters that the decoder's characters do not hold."""
    said = item.text or ""
    strange = sorted({c for c in said.lower() if c not in text.ALPHABET and not c.isspace() and not _unspoken(c)})
    if strange:
        raise BenchError(
            f"{item.id}: its text holds {' '.join(strange[:8])}, and synthesis reads a to z, digits and apostrophes only; "
            "spell it with these, or leave the utterance out"
        )
    if not text.normalise(said):
        raise BenchError(f"{item.id}: has no text to read; add it, or leave the utterance out")


def _unspoken(letter: str) -> bool:
    return letter in NORMALLY_DROPPED or letter in "0123456789"
