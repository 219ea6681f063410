"""Rows of several seeds as one, and the facts of their trainings, for every task that trains networks on tokens.

Averaging over seeds keeps the utterance the unit of every interval; the spread over seeds is told beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from bench import definitions
from bench.results import facts as row_facts

NUMBERS = ("value", "num", "den", "seconds")


def joined(some: Sequence[Mapping[str, Any]], definition: str) -> dict[str, Any]:
    """One row of the rows of several seeds: rates add up, other values are averaged; one failure is a failure of all.

    definition: the training's, which the row names besides those of its metric.
    """
    first = dict(some[0])
    first["definitions"] = with_definition(first["definitions"], definition)
    lost = next((row for row in some if isinstance(row["failure"], str)), None)
    if lost is not None:
        return {**first, "value": None, "num": None, "den": None, "failure": lost["failure"], "detail": lost["detail"]}
    numbers = {name: [row[name] for row in some if row[name] == row[name] and row[name] is not None] for name in NUMBERS}
    if len(numbers["num"]) == len(some):
        num, den = sum(numbers["num"]), sum(numbers["den"])
        first |= {"num": num, "den": den, "value": num / den if den else None}
    elif numbers["value"]:
        first["value"] = mean(numbers["value"])
    if numbers["seconds"]:
        first["seconds"] = mean(numbers["seconds"])
    return first


def with_definition(known: Any, definition: str) -> str:
    """The field `definitions` of a row, with one more."""
    return json.dumps(json.loads(str(known)) | definitions.versions([definitions.get(definition)]), sort_keys=True)


def start(row: Mapping[str, Any], definition: str) -> dict[str, Any]:
    """The fields of a line that the facts of its trainings share. row: any of the line's rows."""
    plain = {"value": None, "num": None, "den": None, "failure": None, "detail": None, "output": "", "against": ""}
    return {**row, **row_facts.engine_facts(), **plain, "definitions": with_definition(row["definitions"], definition)}


def cost(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean size, time and best epoch of trainings, by column. results: those of `bench.probes.fitting.Trained`."""
    return {
        "probe_params": mean(result["parameters"] / 1e6 for result in results),
        "probe_train_s": mean(result["seconds"] for result in results),
        "probe_epoch": mean(result["best_epoch"] for result in results),
    }
