"""What a system is by its card, as far as it decides which codec to build on: rates, delay, size, licence, voices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from bench import cards, data
from bench.cards import Point
from bench.errors import BenchError
from bench.stats.labels import codec_of, tags_of

WIDE_BAND_HZ = 16000
SHARED_VOICES = ("Y", "same synthesizer and voices as part of the training speech")
SHARED_SYNTHESIZER = ("Z", "same synthesizer, in other voices, as part of the training speech")
HEARD = (SHARED_VOICES, SHARED_SYNTHESIZER)
"""(mark, meaning) of a table's speech that is like what the weights were trained on."""
NARROW_BAND = "speaker similarity of upsampled narrow-band speech: it tells of the lost band as well as of the voice"
LONG_LICENCE = 24


@dataclass(frozen=True)
class Design:
    """sample_rate, output_rate: Hz, 0 where no card tells. causal: None where unknown. latency_ms: algorithmic.

    params_m: millions of parameters, of the shipped file where it is one of this repository's small ones. licence: of the
    weights that ran; of the codec where it has none. voices, synthesizers: in the training speech, see `cards.WeightsTable`.
    """

    sample_rate: int = 0
    output_rate: int = 0
    causal: bool | None = None
    latency_ms: float | None = None
    params_m: float | None = None
    licence: str = ""
    voices: tuple[str, ...] = ()
    synthesizers: tuple[str, ...] = ()

    @property
    def narrow(self) -> bool:
        """Whether the codec's speech ends at 4 kHz or so."""
        return 0 < self.output_rate < WIDE_BAND_HZ

    @property
    def khz(self) -> str:
        """`16`, `8`, `16>24`; empty where unknown."""
        return ">".join(f"{rate / 1000:g}" for rate in dict.fromkeys((self.sample_rate, self.output_rate)) if rate)

    @property
    def causality(self) -> str:
        """`yes`, `no`, or nothing where the card does not say."""
        return "" if self.causal is None else "yes" if self.causal else "no"


def design(system: str) -> Design:
    """Design of a system by its label (`focalcodec@50 [nano]`); an empty one where no card describes it."""
    return _design(codec_of(system), tags_of(system).split(" ")[0].rstrip(","))


@cache
def _design(name: str, kind: str) -> Design:
    if name.partition("@")[0] not in cards.paths():
        return Design()
    try:
        point = cards.resolve(name)
    except BenchError:
        return Design()
    if point.adapter == "published":
        return Design()
    table = point.weights_table(kind) or {}
    licence = str(table.get("licence") or point.card.licence)
    return Design(
        point.sample_rate, point.output_rate, _causal(point), point.latency_ms, _parameters(point, kind, table),
        licence.split(" (")[0].split(";")[0], tuple(table.get("voices", ())),
        tuple(table.get("synthesizers", ())),
    )  # fmt: skip


def _causal(point: Point) -> bool | None:
    told = str({**point.card.facts, **point.facts}.get("causal", "")).lower()
    return {"yes": True, "no": False}.get(told, point.card.causal)


def _parameters(point: Point, kind: str, table: Mapping[str, Any]) -> float | None:
    """Millions of parameters: of shipped weights counted in the files' headers, else as the card tells of the full size."""
    files = table.get("file", ())
    files = [files] if isinstance(files, str) else list(files)
    found = [cards.CODECS / file for file in files]
    if found and all(path.is_file() and path.suffix == ".safetensors" for path in found):
        return sum(map(numbers, found)) / 1e6
    return point.params_m if kind in ("official", "") else None


def numbers(path: Path) -> int:
    """How many numbers a file of safetensors holds; reads its header only."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


def caveats(system: str, dataset: str, similarity: bool) -> list[tuple[str, str]]:
    """(mark, meaning) of what a system's card makes doubtful in a table of `dataset`.

    similarity: whether the table scores the likeness of voices.
    """
    found = []
    made = design(system)
    if (made.voices or made.synthesizers) and (synthesizer := data.voices(dataset)):
        if synthesizer in made.voices:
            found.append(SHARED_VOICES)
        elif synthesizer in made.synthesizers:
            found.append(SHARED_SYNTHESIZER)
    if similarity and made.narrow:
        found.append(("H", NARROW_BAND))
    return found
