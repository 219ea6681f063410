"""The gate: rerun a small fixed benchmark and compare it with the committed baseline. `make gate [UPDATE=1]`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import data, writing
from bench.cards import CHECKOUT
from bench.coding.codes import Codes
from bench.columns import every_column
from bench.engine import systems
from bench.engine.jobs import output_key, output_keys
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.engine.schedule import Schedule
from bench.errors import BenchError
from bench.fingerprint import fingerprint
from bench.guard import guarded
from bench.provenance import cpu_kind
from bench.results import files, schema, upkeep, writer
from bench.results import rows as row_files
from bench.store import Store
from bench.tasks import cards, loadable, options

if TYPE_CHECKING:
    import pandas as pd

BASELINE = options.COMMITTED / "gate" / "baseline.parquet"
TIMED = ("rtf_encode", "rtf_decode")
"""Columns that a machine's load moves: `make perf` is for them."""


@dataclass(frozen=True)
class Wanted:
    """What is gated: by default the fixed benchmark of tasks/gate.toml; codecs and data of a user's own otherwise."""

    baseline: Path = BASELINE
    codecs: tuple[str, ...] = ()
    data: str = ""
    metrics: tuple[str, ...] = ()
    weights: str | None = None
    limit: int | None = None
    workers: int | None = None
    update: bool = False

    @property
    def own(self) -> bool:
        """Whether anything of the benchmark was chosen by the user."""
        return bool(self.codecs or self.data or self.metrics or self.weights or self.limit)

    @property
    def plan(self) -> Plan:
        """The benchmark to run. Raises BenchError for names that are not known."""
        card = cards.load("gate")
        dataset = data.load(self.data or card.data["embedded"])
        found = systems.systems(self.codecs or card.settings["codecs"], want=self.weights)
        for system in found:
            loadable.check_weights(system)
        made = Plan(
            task="gate",
            systems=tuple(found),
            dataset=dataset.limit(self.limit or (None if self.data else card.settings["limit"])),
            columns=self.metrics or card.columns,
        )
        return replace(made, workers=self.workers) if self.workers else made

    def check(self) -> None:
        """Raises BenchError where the baseline is not the user's to write, or not there."""
        if self.own and self.baseline == BASELINE:
            raise BenchError(
                "--codec, --data, --metrics, --weights and --limit make a gate of your own: name its baseline too, "
                "--baseline results/gate/mine.parquet"
            )
        if self.update and self.baseline == BASELINE and not CHECKOUT:
            raise BenchError("--update: the baseline of an installation stays as it is; name your own: --baseline FILE")
        if self.update:
            writing.check_file(self.baseline, "name another file with --baseline")
        if not self.update and not self.baseline.is_file():
            raise BenchError(
                f"{self.baseline}: no baseline to compare with; make one with the same command and --update "
                "(`make gate UPDATE=1` in this repository), and commit it"
            )


def plan(workers: int | None = None) -> Plan:
    """The fixed benchmark of tasks/gate.toml."""
    return Wanted(workers=workers).plan


def measure(wanted: Plan, store: Path) -> pd.DataFrame:
    """Rows of a run of `wanted`, timed columns left out; of codes, the detail says more (see `_sent`)."""
    import pandas as pd

    with Store(store) as opened:
        runner = Runner(wanted, opened)
        runner.run()
        rows = row_files.frame(wanted, opened, runner.failures)
        sent = _sent(wanted, opened)
    rows = schema.split(rows[~rows["column"].isin(TIMED)])[0].reset_index(drop=True)
    details = [
        sent.get((key, utterance), detail) if column == "codes" else detail
        for column, key, utterance, detail in zip(
            *(rows[name].astype(object) for name in ("column", "system_key", "utterance", "detail")), strict=True
        )
    ]
    return rows.assign(detail=pd.Series(details, index=rows.index).astype("string").astype("category"))


def _sent(wanted: Plan, store: Store) -> dict[tuple[str, str], str]:
    """(system's key, utterance) -> what a baseline keeps of its codes: sha256, kind of CPU, fingerprint of the frames."""
    schedule, found = Schedule(wanted, store), {}
    for line in wanted.lines:
        keyed = schedule.keyed(line, wanted.dataset.utterances)
        records = store.get_many(output_keys(line, [one.made for one in keyed]))
        for one in keyed:
            for name in line.producer.outputs:
                record = records.get(output_key(one.made, name)) or {}
                if "codes" in record:
                    sent = Codes.from_bytes(record["codes"])
                    found[line.system.key, one.item.id] = f"{record['codes_sha256']} {cpu_kind()} {fingerprint(sent)}"
    return found


def _baseline(path: Path) -> pd.DataFrame:
    """Rows of the baseline; one that is damaged is kept aside before anything runs. Raises BenchError."""
    try:
        return files.read_file(path)
    except files.BadRows as error:
        aside = upkeep.keep_aside(path)
        raise BenchError(
            f"{error}. It is kept as {aside.name}. Bring the committed one back (git checkout -- {path}), or make a new "
            "one: make gate UPDATE=1"
        ) from error


def run(asked: Wanted) -> int:
    """Rerun, compare, tell. A fresh store each time: what is being checked is today's code on this machine."""
    asked.check()
    wanted, baseline = asked.plan, asked.baseline
    labels = ", ".join(system.label for system in wanted.systems)
    print(f"gate: {labels} on {len(wanted.dataset)} utterances of {wanted.dataset.name}", flush=True)
    before = _baseline(baseline) if baseline.is_file() and not asked.update else None
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as folder:
        rows = measure(wanted, Path(folder) / "store.sqlite")
    if asked.update:
        baseline.parent.mkdir(parents=True, exist_ok=True)
        writer.write_file(rows, baseline)
        print(f"wrote {baseline}: commit it")
        return 0
    from bench.report import gate

    assert before is not None
    result = gate.check(rows, before, every_column())
    print(result.table)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as page:
            page.write(result.markdown + "\n")
    return 0 if result.passed else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Exit 0: nothing got worse; 1: something did, or there is no baseline."""
    made = options.Parser(prog="bench gate", description="Rerun the fixed benchmark and compare it with the baseline.")
    made.add_argument("--baseline", type=Path, default=BASELINE, metavar="FILE", help="rows to compare with")
    made.add_argument("--update", action="store_true", help="write the baseline anew")
    made.add_argument("--codec", type=options.names, default=(), metavar="NAMES", help="codecs in place of the fixed ones")
    made.add_argument("--data", default="", metavar="SOURCE", help="speech in place of the embedded: folder:tests/speech")
    made.add_argument("--metrics", type=options.names, default=(), metavar="NAMES", help="columns in place of the fixed ones")
    made.add_argument("--weights", default=None, metavar="KIND|PATH", help="official, nano, random, or a file or folder")
    made.add_argument("--limit", type=int, default=None, metavar="N", help="at most N utterances, spread over speakers")
    made.add_argument("--workers", type=int, default=None, metavar="N")
    parsed = made.parse_args(argv)
    return guarded(lambda: run(Wanted(
        parsed.baseline, parsed.codec, parsed.data, parsed.metrics, parsed.weights, parsed.limit, parsed.workers, parsed.update,
    )))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
