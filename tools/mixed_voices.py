"""Voices that no test set of this project speaks with: mixtures of Kokoro's voices of other languages, speaking English.

The embedded speech is spoken by all 28 English voices of Kokoro (af_ am_ bf_ bm_). A voice is a table of style vectors; a
weighted mean of some is a new voice. A mixture of English voices would still be a relative of embedded ones, so none of them
goes in, and neither do em_santa and pm_santa: less the mean voice, their vectors have a cosine of 0.7 with those of am_santa
(0.3 is the most of any other). What remains shared is the synthesizer itself: one network speaks all of them.

HELD_OUT are the ingredients of voices to validate with: no voice for training holds any of them, so that even the held-out
voices are no relatives of those trained on.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from kokoro_speech import ACCENTS, GENDERS

RELATIVES = ("em_santa", "pm_santa")
HELD_OUT = ("ff_siwis", "if_sara", "zf_xiaoni", "im_nicola", "jm_kumo", "zm_yunyang")
TIMBRE = 128
"""Values of a style vector that shape the sound; those behind them shape rhythm and melody (StyleTTS 2, arXiv 2306.07691)."""
MOST = 3
"""Voices in one mixture: the more, the closer all mixtures are to the mean voice."""
Shares = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class MixedVoice:
    """A mixture: shares of voices for its sound and, apart, for its melody. Each adds up to 1."""

    name: str
    gender: str
    accent: str
    timbre: Shares
    prosody: Shares

    def style(self, styles: Mapping[str, np.ndarray]) -> np.ndarray:
        """Its table of style vectors, float32 [510, 1, 256], from those of the package."""
        sound, melody = (
            sum((np.float32(share) * styles[name] for name, share in shares), np.float32(0))
            for shares in (self.timbre, self.prosody)
        )
        return np.concatenate([np.asarray(sound)[..., :TIMBRE], np.asarray(melody)[..., TIMBRE:]], axis=-1).astype(np.float32)

    def __str__(self) -> str:
        told = (" + ".join(f"{share:.3f} {name}" for name, share in shares) for shares in (self.timbre, self.prosody))
        return "; prosody ".join(told)


def ingredients(voices: Iterable[str], held_out: bool = False) -> tuple[str, ...]:
    """Those of the package's voices that mixtures are made of, in order of their names."""
    other = sorted(voice for voice in voices if voice[0] not in ACCENTS and voice not in RELATIVES)
    return tuple(voice for voice in other if (voice in HELD_OUT) == held_out)


def mixed_voice(number: int, voices: Iterable[str], held_out: bool = False, seed: int = 0) -> MixedVoice:
    """Voice `number` (0, 1, ...) of the package's `voices`: a function of its arguments alone.

    The genders take turns, and so do American and British pronunciation; the ingredients are all of one gender.
    """
    gender = "fm"[number % 2]
    names = [voice for voice in ingredients(voices, held_out) if voice[1] == gender]
    chance = random.Random(f"mixed voice {seed} {held_out} {number}")
    accent = "ab"[number // 2 % 2]
    part = "held" if held_out else "mixed"
    return MixedVoice(
        f"{part}-{gender}{number:04d}", GENDERS[gender], ACCENTS[accent], _shares(names, chance), _shares(names, chance)
    )


def _shares(names: list[str], chance: random.Random) -> Shares:
    """Two or three of `names` with shares of at least 0.1 that add up to 1."""
    chosen = chance.sample(names, chance.randint(2, min(MOST, len(names))))
    raw = [chance.expovariate(1.0) for _ in chosen]
    spare = 1.0 - 0.1 * len(chosen)
    return tuple((name, 0.1 + spare * value / sum(raw)) for name, value in zip(chosen, raw, strict=True))
