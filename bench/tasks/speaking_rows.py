"""Rows of synthesis: the lines of a system's seeds become one, and the cost of its decoders is told beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import stdev
from typing import TYPE_CHECKING, Any

from bench.probes.synthesis import jobs
from bench.results import schema
from bench.tasks import seeds
from bench.tasks.speaking_training import Trained

if TYPE_CHECKING:
    import pandas as pd

ROLE = "synthesis"
SPREAD = ("wer", "wer_whisper_small", "dwer_whisper_small", "dwer")
"""The first of these columns that is there tells the spread over seeds."""


def over_seeds(rows: pd.DataFrame, trained: Sequence[Trained], utterances: Sequence[str]) -> pd.DataFrame:
    """`rows` with one row per system, utterance and column, and with facts of the decoders."""
    spoken = rows["role"].astype(str) == ROLE
    made: list[dict[str, Any]] = []
    names = ["codec", "weights", "system_key", "utterance", "column", "against"]
    for _, some in rows[spoken].groupby(names, observed=True, sort=False, dropna=False):
        made.append(seeds.joined(some.to_dict("records"), jobs.DEFINITION))
    for system in dict.fromkeys(one.system.key for one in trained):
        own = [one for one in trained if one.system.key == system]
        of_system = rows[spoken & (rows["system_key"].astype(str) == system)]
        if len(of_system):
            made += _facts(own, of_system, utterances)
    return schema.joined([rows[~spoken], schema.typed(made)])


def _facts(own: Sequence[Trained], rows: pd.DataFrame, utterances: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Size and cost of a system's decoders on every utterance, as the probes tell theirs."""
    start = seeds.start(rows.iloc[0].to_dict(), jobs.DEFINITION)
    facts = seeds.cost([one.result for one in own])
    if (spread := _spread(rows, len(own))) is not None:
        facts["probe_seed_sd"] = spread
    known = rows.drop_duplicates("utterance").set_index(rows.drop_duplicates("utterance")["utterance"].astype(str))
    for name in utterances:
        if name in known.index:
            who = {key: known.loc[name, key] for key in ("utterance", "speaker", "language", "seconds")}
            yield from (start | who | {"column": column, "value": float(value)} for column, value in facts.items())


def _spread(rows: pd.DataFrame, count: int) -> float | None:
    """Standard deviation over seeds of the corpus error rate; None where there is one seed, or a failure."""
    column = rows["column"].astype(str)
    name = next((one for one in SPREAD if (column == one).any()), None)
    if name is None or count < 2:
        return None
    some = rows[column == name]
    nth = some.groupby("utterance", observed=True).cumcount()
    sums = some.groupby(nth)[["num", "den"]].sum()
    if len(sums) < 2 or some["num"].isna().any() or not (sums["den"] > 0).all():
        return None
    return float(stdev(sums["num"] / sums["den"]))
