"""Two voices at once, on the fly: mixtures of any set of single voices, for separation.

Each utterance is joined by one of another speaker, at a level ratio uniform from -5 to 5 dB; partner and ratio are drawn
from a generator seeded by its id. A mixture is as long as the longer voice. `recordings` are the two voices, s1 and s2,
as they were before they were mixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import audio
from bench.content import file_sha256
from bench.data.noise import PEAK, generator
from bench.errors import BenchError
from bench.speech import Dataset, Utterance

DEFINITION = "two-voices"
VERSION = "1"
RATIO_DB = (-5.0, 5.0)
VOICES = ("s1", "s2")
"""Names of the recordings, as LibriMix calls them."""


@dataclass(frozen=True)
class TwoVoices:
    """Adds the voice of `other` to a wave, `ratio_db` below it. Its repr says all that matters."""

    id: str
    other: Path
    ratio_db: float

    def __call__(self, wave: np.ndarray, rate_hz: int) -> np.ndarray:
        """float32 [T] -> float32 [max(T, T')]; turned down as a whole where it would exceed full scale.

        Raises BenchError where the two have different rates.
        """
        other, rate = audio.read(self.other)
        if rate != rate_hz:
            raise BenchError(f"{self.id}: a mixture of voices at {rate_hz} and {rate} Hz; bring the recordings to one rate first")
        length = max(len(wave), len(other))
        first, second = (np.pad(one.astype(np.float64), (0, length - len(one))) for one in (wave, other))
        powers = [float(np.mean(np.square(one, dtype=np.float64))) for one in (wave, other)]
        gain = np.sqrt(powers[0] / powers[1] / 10 ** (self.ratio_db / 10)) if min(powers) > 0 else 1.0
        mixed = first + gain * second
        peak = float(np.abs(mixed).max())
        return (mixed * min(1.0, PEAK / peak) if peak > 0 else mixed).astype(np.float32)

    def __repr__(self) -> str:
        return f"TwoVoices(v{VERSION}, {file_sha256(self.other)[:16]}, {self.ratio_db:.4f} dB)"


def mix(single: Dataset, seed: int = 0) -> Dataset:
    """A mixture for every utterance of a set of single voices; ids are of both voices, joined by "+".

    Raises BenchError where there is only one speaker, or only one text.
    """
    return replace(
        single, utterances=tuple(_mixtures(single.utterances, single.name, seed)), condition="two voices",
        version=f"{single.version} two voices {VERSION} seed {seed}",
    )  # fmt: skip


def _mixtures(single: Sequence[Utterance], name: str, seed: int) -> Iterator[Utterance]:
    for u in single:
        rng = generator(u.id, seed, "second voice")
        # The same words at once are no mixture that a listener meets.
        others = [one for one in single if one.speaker != u.speaker and (u.text is None or one.text != u.text)]
        if not others:
            raise BenchError(f"{name}: {u.id} has no utterance of another speaker with other words to be mixed with")
        other = others[int(rng.integers(len(others)))]
        voices = [one.recording() for one in (u, other)]
        yield replace(
            u, id=f"{u.id}+{other.id}", text=None, mix=TwoVoices(u.id, voices[1], round(float(rng.uniform(*RATIO_DB)), 4)),
            recordings=dict(zip(VOICES, voices, strict=True)), extra={"speakers": [u.speaker, other.speaker]},
        )  # fmt: skip
