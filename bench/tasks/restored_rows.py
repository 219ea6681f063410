"""Rows of enhancement and separation: those of several seeds as one, and what is told of the heads.

Each voice of a mixture is an utterance of its own, by its own speaker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from bench.data.two_voices import VOICES
from bench.engine.systems import System
from bench.probes.restoration.jobs import DEFINITION, Job
from bench.probes.restoration.settings import Settings
from bench.results import schema
from bench.speech import Dataset
from bench.stats.labels import UNTREATED
from bench.tasks import seeds

if TYPE_CHECKING:
    import pandas as pd

_SEED = "#"
"""Between the variant of a line and its seed, until the seeds are one row."""
SPREAD = ("dwer_whisper_small", "dwer")
"""The first of these columns that is there tells the spread over seeds."""


@dataclass(frozen=True)
class Restored:
    """A trained head. variant: what it reads where it is not tokens. path: the codes it predicted.

    wrong: utterance, as rows call it -> (wrong tokens, all tokens); untreated: those of what was heard.
    """

    variant: str
    system: System
    seed: int
    job: Job
    result: Mapping[str, Any]
    path: Path
    wrong: Mapping[str, tuple[int, int]]
    untreated: Mapping[str, tuple[int, int]]

    @property
    def of(self) -> tuple[str, str]:
        """Codec and variant: what the rows of its line say."""
        return self.system.name, self.variant


def seeded(variant: str, seed: int) -> str:
    """Variant of the line of one seed."""
    return f"{variant}{_SEED}{seed}"


def called(utterance: str, output: str) -> str:
    """How rows call an utterance, or one voice of a mixture."""
    return f"{utterance}_{output}" if output else utterance


def apart(rows: pd.DataFrame, mixtures: Dataset) -> pd.DataFrame:
    """`rows` with each voice of a mixture as an utterance of its own speaker."""
    speakers = {
        (u.id, voice): speaker for u in mixtures for voice, speaker in zip(VOICES, u.extra.get("speakers", ()), strict=False)
    }
    places = list(zip(rows["utterance"].astype(str), rows["output"].astype(str), strict=True))
    names = [called(name, output) if output in VOICES else name for name, output in places]
    who = [speakers.get(place, speaker) for place, speaker in zip(places, rows["speaker"].astype(str), strict=True)]
    return schema.joined([rows.assign(utterance=names, speaker=who).astype({"utterance": "category", "speaker": "category"})])


def told(rows: pd.DataFrame, restored: Sequence[Restored], role: str, chosen: Settings) -> pd.DataFrame:
    """`rows` with one row per system, utterance, output and column, and with the facts of the heads.

    role: of their rows.
    """
    ours = rows["role"].astype(str) == role
    mine = rows[ours].copy()
    seed = mine["variant"].astype(str).str.rpartition(_SEED)[2]
    mine["variant"] = mine["variant"].astype(str).str.rpartition(_SEED)[0]
    names = ["codec", "variant", "system_key", "utterance", "output", "column", "against"]
    about = json.dumps(chosen.asdict() | {"seeds": sorted({one.seed for one in restored})}, sort_keys=True)
    made = []
    for _, some in mine.groupby(names, observed=True, sort=False, dropna=False):
        made.append(seeds.joined(some.to_dict("records"), DEFINITION))
    for codec, variant in dict.fromkeys(one.of for one in restored):
        of_line = mine[(mine["codec"] == codec) & (mine["variant"] == variant)]
        heads = [one for one in restored if one.of == (codec, variant)]
        if len(of_line):
            made += _wrong_tokens(of_line, [one.wrong for one in heads])
            made += _facts(heads, of_line.assign(seed_of=seed.loc[of_line.index]), about)
        plain = rows[(rows["codec"] == codec) & (rows["role"] == UNTREATED)]
        if len(plain) and not variant:
            made += _wrong_tokens(plain, [heads[0].untreated])
    return schema.joined([rows[~ours], schema.typed(made)])


def _wrong_tokens(rows: pd.DataFrame, counts: Sequence[Mapping[str, tuple[int, int]]]) -> Iterator[dict[str, Any]]:
    """Wrong tokens of every utterance, over the seeds."""
    start = seeds.start(rows.iloc[0].to_dict(), DEFINITION)
    fields = ["speaker", "language", "seconds", "output", "against"]
    known = rows[rows["seconds"].notna()].drop_duplicates("utterance").set_index("utterance")[fields]
    for name, about in known.to_dict("index").items():
        if str(name) in counts[0]:
            wrong, total = (float(sum(part)) for part in zip(*(one[str(name)] for one in counts), strict=True))
            terms = {"num": wrong, "den": total, "value": wrong / total if total else None}
            yield start | about | terms | {"utterance": name, "column": "wrong_tokens"}


def _facts(heads: Sequence[Restored], rows: pd.DataFrame, settings: str) -> Iterator[dict[str, Any]]:
    """Of the whole set: size and cost of the heads, and the spread over their seeds."""
    start = seeds.start(rows.drop(columns="seed_of").iloc[0].to_dict(), DEFINITION)
    start |= {"utterance": "(set)", "speaker": schema.WHOLE_SET, "language": "-", "detail": settings}
    facts = seeds.cost([one.result for one in heads])
    if (spread := _spread(rows)) is not None:
        facts["probe_seed_sd"] = spread
    yield from (start | {"column": column, "value": float(value)} for column, value in facts.items())


def _spread(rows: pd.DataFrame) -> float | None:
    """Standard deviation over seeds of the corpus error rate; None where there is one seed, or no error rate."""
    there = set(rows["column"].astype(str))
    name = next((column for column in SPREAD if column in there), None)
    if name is None:
        return None
    sums = rows[rows["column"].astype(str) == name].groupby("seed_of")[["num", "den"]].sum()
    rates = sums["num"] / sums["den"]
    return float(stdev(rates)) if len(rates) > 1 and rates.notna().all() else None
