"""Answers of listening tests become rows: `python -m bench ratings FILES`. They stand in the leaderboard beside the metrics.

A row holds the sum of all listeners' answers on one utterance and system, and their number, so that the unit of every interval
stays the utterance and its speaker. Listeners are screened first (ITU-R BS.1534-3, section 4.1.2): whoever rates the hidden
reference below 90 in more than 15 % of the trials is left out, and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import writing
from bench.columns import LISTENING
from bench.errors import BenchError
from bench.report import trial
from bench.report.columns import half_width, number
from bench.results import current, merge, publish, schema, upkeep
from bench.results import facts as row_facts
from bench.stats import bootstrap
from bench.tasks import columns, options

METRIC, VERSION = "listening", "1"
HIDDEN_FLOOR, HIDDEN_SHARE = 90, 0.15


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench ratings`; returns the exit code."""
    made = options.Parser(prog="bench ratings", description="Take the answers of listening tests into the leaderboard.")
    made.add_argument("files", nargs="+", type=Path, help="files that listeners saved (JSON)")
    made.add_argument("--results", type=Path, default=options.RESULTS, metavar="DIR", help="where the rows go")
    asked = made.parse_args(argv)
    writing.check_folder(asked.results, writing.OF_RESULTS)
    tests = [trial.answers(path) for path in asked.files]
    if len(kinds := {test["kind"] for test in tests}) > 1:
        raise BenchError(f"answers of several kinds of test ({', '.join(sorted(kinds))}): give them one kind at a time")
    twice = {test["listener"] for test in tests if sum(test["listener"] == other["listener"] for other in tests) > 1}
    for name in sorted(twice):
        print(f"listener {name}: several files; all of their answers count")
    kept, left = screened(tests)
    for name, why in left:
        print(f"listener {name} left out: {why}")
    if not kept:
        raise BenchError("no listener is left after the screening: these answers make no rows")
    column = LISTENING[COLUMN[tests[0]["kind"]]]
    for line in told(kept, column):
        print(line)
    for folder in take_in(kept, column.name, asked.results):
        rows = current.read(folder)
        text, written = publish.publish(rows, folder, columns.shown(rows.kinds))
        print(text)
        for path in written:
            print(f"wrote {path}")
    return 0


COLUMN = {"mushra": "mushra", "abx": "abx", "ab": "ab_preference"}


def screened(tests: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[tuple[str, str]]]:
    """(tests of the listeners who are kept, (listener, why) of the others)."""
    kept, left = [], []
    for test in tests:
        hidden = [one["score"] for one in test["answers"] if one["system"] == trial.REFERENCE]
        low = sum(score < HIDDEN_FLOOR for score in hidden)
        if test["kind"] == "mushra" and hidden and low > HIDDEN_SHARE * len(hidden):
            why = f"rated the hidden reference below {HIDDEN_FLOOR} in {low} of {len(hidden)} trials"
            left.append((str(test["listener"]), why))
        else:
            kept.append(test)
    return kept, left


def told(tests: Sequence[Mapping[str, Any]], column: Any) -> list[str]:
    """Mean and 95 % interval of each system when listeners are resampled: the claim about other listeners."""
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for test in tests:
        for one in test["answers"]:
            sums[one["system"]][str(test["listener"])].append(float(one["score"]))
    out = []
    for system, listeners in sums.items():
        terms = [(sum(scores), len(scores)) for scores in listeners.values()]
        found = bootstrap.interval([num for num, _ in terms], [den for _, den in terms], method="expanded")
        spread = half_width(found.low, found.high, column)
        out.append(f"{system}: {column.title} {number(found.estimate, column)} {spread} ({len(terms)} listeners resampled)")
    return out


def take_in(tests: Sequence[Mapping[str, Any]], column: str, results: Path) -> list[Path]:
    """Write the rows of all tests into their tables below `results` -> the tables' folders. Raises BenchError."""
    counted: dict[tuple[str, str], list[float]] = defaultdict(list)
    about: dict[tuple[str, str], dict[str, Any]] = {}
    for test in tests:
        usual = next(iter(test["rows"].values()), None)
        if usual is None:
            raise BenchError(f"the answers of {test['listener']} name no systems")
        for one in test["answers"]:
            facts = test["rows"].get(one["system"]) or usual | row_facts.pseudo_facts(one["system"])
            key = (str(facts["system_key"]) + str(facts["codec"]), one["utterance"])
            counted[key].append(float(one["score"]))
            about[key] = facts | {
                "utterance": one["utterance"],
                "speaker": test["speakers"].get(one["utterance"], ""),
                "language": "-",
                "seconds": one.get("seconds"),
            }
    records: dict[tuple[Path, str], list[dict[str, Any]]] = defaultdict(list)
    for key, scores in counted.items():
        facts = about[key]
        where = merge.place(results, facts["task"], facts["dataset"], partial=0, sha256=facts["dataset_sha256"],
                            audio_sha256=facts["audio_sha256"])  # fmt: skip
        records[where.folder(), key[0]].append(facts | {
            "column": column, "metric": METRIC, "metric_version": VERSION, "metric_key": METRIC, "value": float(np.mean(scores)),
            "num": float(np.sum(scores)), "den": float(len(scores)), "failure": None, "detail": f"{len(scores)} answers",
            "definitions": "{}",
        })  # fmt: skip
    for (folder, _), some in records.items():
        with upkeep.locked(folder):
            merge.renew(folder, [schema.typed(some)])
    return list(dict.fromkeys(folder for folder, _ in records))
