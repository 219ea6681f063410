"""From a plan to files: run it, merge its rows with those that are still good, write tables and plots, tell the paths."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import adapters, cards, metrics, provenance, weights
from bench.engine import rows as row_files
from bench.engine.plan import Plan, System, metric_key
from bench.engine.runner import Runner
from bench.errors import BenchError
from bench.speech import Dataset
from bench.store import Store, key_of
from bench.tasks import cards as task_cards
from bench.tasks.options import Options

if TYPE_CHECKING:
    import pandas as pd

    from bench.metrics import Column
    from bench.report.leaderboard import Reported


@dataclass
class Outcome:
    """Folders written by a run; `code` is the exit code (1 when every utterance of some system failed)."""

    folders: list[Path] = field(default_factory=list)
    code: int = 0

    def add(self, other: Outcome) -> None:
        self.folders += other.folders
        self.code = max(self.code, other.code)


def folder_of(results: Path, task: str, dataset: Dataset) -> Path:
    """results/<task>/<data set>; a partial selection goes to results/partial/, which is not committed."""
    name = re.sub(r"[^\w.+-]+", "-", dataset.name).strip("-")
    if dataset.partial:
        return results / "partial" / task / f"{name}-{len(dataset)}"
    return results / task / name


def announce(plan: Plan) -> None:
    """The first lines of every run: what is run, on what, with which weights."""
    data = plan.dataset
    speech = "synthetic speech" if data.synthetic else "recorded speech"
    part = ", PARTIAL" if data.partial else ""
    print(
        f"{plan.task} on {data.name} ({speech}, {len(data)} utterances, {len(data.speakers)} speakers{part}), "
        f"profile {plan.profile}, device {plan.device}, {plan.workers} workers"
    )
    for system in plan.systems:
        if system.weights.kind != "none":
            print(f"  {system.label}: weights {system.weights.digest[:12]} from {system.weights.source}")
    sys.stdout.flush()


def execute(plan: Plan, wanted: Options) -> Outcome:
    """Run `plan` and write its results."""
    announce(plan)
    with Store(wanted.store) as store:
        runner = Runner(plan, store)
        runner.run()
        fresh = row_files.frame(plan, store, runner.failures)
    folder = folder_of(wanted.results, plan.task, plan.dataset)
    rows = merge(folder / "rows.parquet", fresh, plan)
    row_files.write(rows, folder / "rows.parquet")
    written = publish(rows, folder)
    if not wanted.quiet:
        from bench.report import leaderboard

        print(leaderboard.terminal(rows, shown(rows), width=shutil.get_terminal_size((160, 40)).columns))
    for path in (folder / "rows.parquet", *written):
        print(f"wrote {path}")
    lost = [label for label, failed in _lost_systems(fresh) if failed]
    for label in lost:
        print(
            f"warning: every utterance failed for {label}; see the failures in {folder / 'leaderboard.md'}",
            file=sys.stderr,
        )
    return Outcome([folder], 1 if lost else 0)


def publish(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Leaderboard and plot of `rows` in `folder`."""
    from bench.report import leaderboard, plots

    known = shown(rows)
    page = folder / "leaderboard.md"
    page.write_text(leaderboard.markdown(rows, known, reported=reported(rows)), encoding="utf-8")
    written = [page]
    if "bitrate_packed" in known:
        plot = folder / "rate_distortion.png"
        plots.rate_distortion(rows, known, plot)
        written.append(plot)
    return written


def shown(rows: pd.DataFrame) -> dict[str, Column]:
    """The columns of `rows`, in the order they are shown: the profile's, then what the engine measures, then pair facts."""
    present = set(rows["column"].astype(str))
    known = row_files.columns()
    order = [*task_cards.profile(str(rows["profile"].iloc[0]))["columns"], *row_files.ENGINE_COLUMNS, *known]
    return {name: known[name] for name in dict.fromkeys(order) if name in present and name in known}


def reported(rows: pd.DataFrame) -> dict[tuple[str, str], Reported]:
    """(codec, column) -> what its paper prints for this task and condition, whichever recorded speech it used."""
    from bench.report.leaderboard import Reported

    task, condition = str(rows["task"].iloc[0]), str(rows["condition"].iloc[0])
    found: dict[tuple[str, str], Reported] = {}
    for family in {str(name).split("@")[0] for name in rows["codec"].unique()} & set(cards.paths()):
        card = cards.load(family)
        for entry in card.reported:
            if entry.task == task and (entry.condition or "clean") == condition:
                for column, value in entry.scores.items():
                    found.setdefault((card.points[entry.point].name, column), Reported(value, entry.source, entry.data))
    return found


def _lost_systems(rows: pd.DataFrame) -> list[tuple[str, bool]]:
    scored = rows[rows["metric"] != "engine"]
    groups = scored.groupby(["codec", "weights"], observed=True)
    return [(f"{codec} [{label}]", bool(group["failure"].notna().all())) for (codec, label), group in groups]


def merge(path: Path, fresh: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """`fresh` and those rows of `path` that are of the same list of utterances and of today's code and weights.

    A table never mixes two code versions: what is stale is left out, by name.
    """
    import pandas as pd

    if not path.is_file():
        return fresh
    old = row_files.read(path)
    old = old[old["dataset_sha256"].astype(str) == plan.dataset.sha256]
    done = {(s.name, s.weights.label, s.device) for s in plan.systems}
    keep = []
    for (codec, label, device), group in old.groupby(["codec", "weights", "device"], observed=True):
        if (codec, label, device) in done:
            continue
        reason = stale(str(codec), str(label), str(device), group)
        if reason:
            print(f"left out of the table: {codec} [{label}], {reason}; run it again to renew it")
        else:
            keep.append(group)
    if not keep:
        return fresh
    joined = pd.concat([*keep, fresh], ignore_index=True)
    for name in fresh.columns:
        if isinstance(fresh[name].dtype, pd.CategoricalDtype):
            joined[name] = joined[name].astype("string").astype("category")
    return joined


def stale(codec: str, label: str, device: str, group: pd.DataFrame) -> str | None:
    """Why rows of an earlier run are no longer what today's code would give; None when they are."""
    try:
        if codec.startswith("published@"):
            return None  # the files themselves are in the key of each row's score
        point = cards.resolve(codec)
        if label in weights.KINDS:
            system = System(point, weights.resolve(point, label), device)
            if system.key != str(group["system_key"].iloc[0]):
                return "its code, settings, packages or weights have changed"
        elif provenance.code_version(adapters.targets()[point.adapter]) not in str(group["code_version"].iloc[0]):
            return "its code has changed"
        for name, some in group.groupby("metric", observed=True):
            if name != "engine" and str(some["metric_key"].iloc[0]) != key_of(metric_key(metrics.find(str(name)))):
                return f"the metric {name} has changed"
    except BenchError as error:
        return str(error)
    return None
