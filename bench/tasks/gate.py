"""The gate: rerun a small fixed benchmark and compare it with the committed baseline. `make gate [UPDATE=1]`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import data
from bench.engine import systems
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.errors import BenchError
from bench.guard import guarded
from bench.results import files
from bench.results import rows as row_files
from bench.store import Store
from bench.tasks import cards, options

if TYPE_CHECKING:
    import pandas as pd

TIMED = ("rtf_encode", "rtf_decode")
"""Columns that a machine's load moves: `make perf` is for them."""


def plan(workers: int | None = None) -> Plan:
    """The fixed benchmark of tasks/gate.toml."""
    card = cards.load("gate")
    made = Plan(
        task="gate",
        systems=tuple(systems.systems(card.settings["codecs"])),
        dataset=data.load(card.data["embedded"]).limit(card.settings["limit"]),
        columns=card.columns,
    )
    return replace(made, workers=workers) if workers else made


def measure(wanted: Plan, store: Path) -> pd.DataFrame:
    """Rows of a run of `wanted`, timed columns left out."""
    with Store(store) as opened:
        runner = Runner(wanted, opened)
        runner.run()
        rows = row_files.frame(wanted, opened, runner.failures)
    return row_files.split(rows[~rows["column"].isin(TIMED)])[0].reset_index(drop=True)


def _baseline(path: Path) -> pd.DataFrame:
    """Rows of the baseline; one that is damaged is kept aside before anything runs. Raises BenchError."""
    try:
        return files.read_file(path)
    except files.BadRows as error:
        aside = files.keep_aside(path)
        raise BenchError(
            f"{error}. It is kept as {aside.name}. Bring the committed one back (git checkout -- {path}), or make a new "
            "one: make gate UPDATE=1"
        ) from error


def run(baseline: Path, *, update: bool = False, workers: int | None = None) -> int:
    """Rerun, compare, tell. A fresh store each time: what is being checked is today's code on this machine."""
    wanted = plan(workers)
    labels = ", ".join(system.label for system in wanted.systems)
    print(f"gate: {labels} on {len(wanted.dataset)} utterances of {wanted.dataset.name}", flush=True)
    if not update and not baseline.is_file():
        raise BenchError(f"{baseline}: no baseline to compare with; make one with `make gate UPDATE=1` and commit it")
    before = _baseline(baseline) if baseline.is_file() else None
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as folder:
        rows = measure(wanted, Path(folder) / "store.sqlite")
    if update:
        files.write_file(rows, baseline)
        print(f"wrote {baseline}: commit it")
        return 0
    from bench.report import gate

    assert before is not None
    result = gate.check(rows, before, row_files.columns())
    print(result.table)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as page:
            page.write(result.markdown + "\n")
    return 0 if result.passed else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Exit 0: nothing got worse; 1: something did, or there is no baseline."""
    made = options.Parser(prog="bench gate", description="Rerun the fixed benchmark and compare it with the baseline.")
    made.add_argument("--baseline", type=Path, default=options.COMMITTED / "gate" / "baseline.parquet", metavar="FILE")
    made.add_argument("--update", action="store_true", help="renew the baseline")
    made.add_argument("--workers", type=int, default=None, metavar="N")
    parsed = made.parse_args(argv)
    return guarded(lambda: run(parsed.baseline, update=parsed.update, workers=parsed.workers))


if __name__ == "__main__":
    sys.exit(main())
