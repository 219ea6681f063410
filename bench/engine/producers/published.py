"""Audio that somebody else decoded: looked up, not made. Codes are unknown; a missing end is told, then padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import audio
from bench.adapters.published import Published
from bench.engine.clock import Clock
from bench.engine.producers import Made, Producer
from bench.engine.records import audio_record
from bench.speech import Utterance
from bench.validity.facts import decoded_facts, original_facts

if TYPE_CHECKING:
    from bench.engine.keys import Keys


@dataclass(frozen=True)
class PublishedAudio(Producer):
    """The file below `folder` that belongs to an utterance (its `extra["output"]`, else its id)."""

    role: str = "resynthesis"
    folder: str = ""
    sample_rate: int = 0

    id: ClassVar[str] = "published"
    version: ClassVar[str] = "1"

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        path = Published.of(self.folder, self.sample_rate).path_for(_name(item))
        return [keys.spoken(item), keys.digest(path) if path is not None else "missing", item.aligned]

    def make(self, items: Sequence[Utterance], codec: Published, clock: Clock) -> list[Made]:
        return [{"": _record(codec.decoded_for(_name(item), item.channel), codec.sample_rate, item)} for item in items]


def _name(item: Utterance) -> str:
    return str(item.extra.get("output", item.id))


def _record(decoded: np.ndarray, rate_hz: int, item: Utterance) -> dict[str, Any]:
    original = item.read(rate_hz)[0]
    length = len(original) if item.aligned else len(decoded)
    surplus = len(decoded) - length
    fitted = np.pad(decoded[:length], (0, max(0, -surplus)))
    odd = decoded_facts(fitted, rate_hz, surplus) | original_facts(item.recording(), item.channel, original, rate_hz)
    return audio_record(fitted, rate_hz, surplus) | {"odd": odd, "input_sha256": audio.sha256(original, rate_hz)}
