"""Coded records of one line, as trainings on tokens read them out of the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench import adapters
from bench.coding.codec import Codec, HasCodebooks
from bench.coding.codes import Codes
from bench.engine.plan import Line
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.errors import BenchError
from bench.speech import Utterance

T = TypeVar("T")
Found = TypeVar("Found")
SOME = 200
"""Records that are held in memory at a time."""


def keys(runner: Runner, line: Line, utterances: Sequence[Utterance]) -> dict[str, str]:
    """Utterance -> key of its coded record. Raises BenchError where one could not be coded."""
    made = {u.id: runner.schedule.keys.wave(line, u) for u in utterances}
    there = runner.store.has_many(list(made.values()))
    lost = [name for name, key in made.items() if key not in there]
    if lost:
        kind, detail = runner.failures.get(made[lost[0]], ("missing", "not in the store"))
        some = f"{len(lost)} of {len(made)} utterances could not be coded, for example {lost[0]}"
        cure = "a training needs them all: mend them, or take them out of the set"
        raise BenchError(f"{line.system.label}: {some}: {kind}, {detail}; {cure}")
    return made


def able(every: Sequence[T], check: Callable[[T], Found]) -> tuple[list[tuple[T, Found]], list[str]]:
    """Those of `every` (lines, systems) that `check` lets pass, each with what it found; why each of the others is left out,
    which is told: one codec costs no other its rows. Raises the first one's BenchError where none passes."""
    passed: list[tuple[T, Found]] = []
    errors: list[BenchError] = []
    for one in every:
        try:
            passed.append((one, check(one)))
        except BenchError as error:
            errors.append(error)
    if errors and not passed:
        raise errors[0]
    reasons = list(map(str, errors))
    for reason in reasons:
        print(f"warning: left out: {reason}", file=sys.stderr)
    return passed, reasons


def records(runner: Runner, wanted: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(utterance, record) of `wanted` (utterance -> key), in its order, a few in memory at a time."""
    names = list(wanted)
    for start in range(0, len(names), SOME):
        some = names[start : start + SOME]
        found = runner.store.get_many([wanted[name] for name in some])
        yield from ((name, found[wanted[name]]) for name in some)


def codes(runner: Runner, wanted: Mapping[str, str]) -> dict[str, Codes]:
    """Codes of every utterance of `wanted`."""
    return {name: Codes.from_bytes(record["codes"]) for name, record in records(runner, wanted)}


def loaded(system: System) -> Codec:
    """The codec of a system, on the CPU, for what only it can tell: tables, features."""
    return adapters.load(system.point, system.weights, "cpu")


def tables(codec: Codec) -> Mapping[str, Sequence[NDArray[np.float32]]] | None:
    """The codec's tables of codebooks, where it has any."""
    return codec.codebooks() if isinstance(codec, HasCodebooks) else None
