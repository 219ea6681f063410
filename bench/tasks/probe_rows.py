"""From trained probes to rows: one row per test utterance and column, its errors summed over the seeds.

Summing over seeds keeps the utterance the unit of every interval; the spread over seeds and over folds is told beside.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING, Any

from bench.engine.keys import probe_key
from bench.engine.plan import Line
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.probes.division import Division
from bench.probes.jobs import Job
from bench.probes.settings import Settings
from bench.results import facts as row_facts
from bench.results import schema
from bench.stats.labels import called
from bench.tasks.seeds import cost

if TYPE_CHECKING:
    import pandas as pd

CHANCE, ROLE = "chance", "probe"


@dataclass(frozen=True)
class Probed:
    """A finished training of one subject of the table: `result` is what `bench.probes.jobs.run` stored."""

    codec: str
    variant: str
    system: System | None
    division: Division
    seed: int
    job: Job
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the row is called, weights apart."""
        return called(self.codec, ROLE, self.variant)


def frame(runner: Runner, probed: Sequence[Probed], divisions: Sequence[Division], settings: Settings) -> pd.DataFrame:
    """Rows of every probe, and of chance."""
    plan = runner.plan
    subjects: dict[tuple[str, str], list[Probed]] = defaultdict(list)
    for one in probed:
        subjects[one.codec, one.variant].append(one)
    start = row_facts.base(plan) | {
        "role": ROLE,
        "metric": "probe", "metric_version": "1",
        "metric_key": probe_key(settings.asdict()),
    }  # fmt: skip
    seeds = sorted({one.seed for one in probed})
    start["settings"] = json.dumps(settings.asdict() | {"seeds": seeds})
    coded = {line.system.label: _coded(runner, line) for line in plan.lines}
    # The original's duration, too, is known from its coding.
    known = {name: record["seconds"] for some in coded.values() for name, record in some.items()}
    facts = {u.id: {"speaker": u.speaker, "language": u.language, "seconds": known.get(u.id)} for u in plan.dataset}
    records: list[dict[str, Any]] = []
    for (codec, variant), some in subjects.items():
        system = some[0].system
        about = row_facts.system_facts(system, runner.store) if system else row_facts.pseudo_facts(codec)
        about |= {"definitions": row_facts.versions(system, "probe", "probe-inputs"), "variant": variant}
        row = start | {key: value for key, value in about.items() if key != "settings"}
        for each in _subject_rows(plan.task, some):
            records.append(row | facts[each["utterance"]] | each)
        if system:
            records += [row | facts[u] | each for u, each in _bits(coded[system.label], some)]
    chance = start | row_facts.pseudo_facts(CHANCE) | {"settings": start["settings"]}
    for division in divisions:
        records += [chance | facts[each["utterance"]] | each for each in chance_rows(plan.task, division)]
    return schema.typed(records)


def _subject_rows(task: str, some: Sequence[Probed]) -> Iterator[dict[str, Any]]:
    """Rows of one subject over its divisions and seeds."""
    counts: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    outputs: dict[str, list[str]] = defaultdict(list)
    seeds: dict[int, list[tuple[float, float]]] = defaultdict(list)
    folds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in some:
        division = one.division
        for name, output in one.result["outputs"].items():
            told = str(output) if not division.classes else division.classes[int(output)]
            outputs[name].append(told)
            for place, (column, num, den) in enumerate(errors(task, output, division.targets[name])):
                counts[name, column].append((num, den))
                if place == 0:
                    seeds[one.seed].append((num, den))
                    folds[division.fold].append((num, den))
    for (name, column), terms in counts.items():
        yield {"utterance": name, "column": column, "detail": " | ".join(outputs[name])} | rate(terms)
    spreads = {"probe_seed_sd": seeds.values(), "probe_fold_sd": folds.values()}
    for fold in folds:
        of_fold = [one.result for one in some if one.division.fold == fold]
        facts = cost(of_fold) | {
            name: stdev(_ratio(terms) for terms in groups) for name, groups in spreads.items() if len(groups) > 1
        }
        for name in next(one for one in some if one.division.fold == fold).division.test:
            yield from ({"utterance": name, "column": column, "value": float(x)} for column, x in facts.items())


def rate(terms: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """(errors, out of) of several seeds -> value, num, den of one row."""
    num, den = (float(sum(part)) for part in zip(*terms, strict=True))
    return {"value": num / den if den else None, "num": num, "den": den}


def _ratio(terms: Sequence[tuple[float, float]]) -> float:
    return sum(num for num, _ in terms) / max(1.0, sum(den for _, den in terms))


def errors(task: str, output: str | int, target: str | int) -> Iterator[tuple[str, float, float]]:
    """(column, errors, out of) of one utterance."""
    if task != "asr":
        yield "probe_er", float(output != target), 1.0
        return
    import jiwer

    from bench.probes.text import normalise

    wanted = normalise(str(target))
    for name, measured in (
        ("probe_wer", jiwer.process_words(wanted, str(output))),
        ("probe_cer", jiwer.process_characters(wanted, str(output))),
    ):
        wrong = measured.substitutions + measured.deletions + measured.insertions
        yield name, float(wrong), float(measured.hits + measured.substitutions + measured.deletions)


def chance_rows(task: str, division: Division) -> Iterator[dict[str, Any]]:
    """What knowing nothing gives: an empty transcript, or a label drawn evenly (its expected error)."""
    for name in division.test:
        if division.classes:
            yield {"utterance": name, "column": "probe_er"} | rate([(1.0 - 1.0 / len(division.classes), 1.0)])
        else:
            for column, num, den in errors(task, "", division.targets[name]):
                yield {"utterance": name, "column": column} | rate([(num, den)])


def _coded(runner: Runner, line: Line) -> dict[str, dict[str, Any]]:
    """Utterance -> seconds and bits of what was coded."""
    found: dict[str, dict[str, Any]] = {}
    for u in runner.plan.dataset:
        record = runner.store.get(runner.schedule.keys.wave(line, u))
        if record is not None:
            found[u.id] = {key: record.get(key) for key in ("seconds", "bits_packed")}
    return found


def _bits(coded: Mapping[str, Mapping[str, Any]], some: Sequence[Probed]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measured bit rate of the test utterances, for the table's order."""
    for name in dict.fromkeys(name for one in some for name in one.division.test):
        record = coded.get(name)
        if record is None or record["bits_packed"] is None:
            continue
        num, den = record["bits_packed"] / 1000, record["seconds"]
        row = {"utterance": name, "column": "bitrate_packed", "seconds": den}
        yield name, row | row_facts.engine_facts() | {"value": num / den, "num": num, "den": den}
