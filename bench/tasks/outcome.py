"""From a plan to files: run it, merge its rows with those that are still good, write tables and plots."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cards
from bench.content import file_sha256, package_sha256
from bench.engine import rows as row_files
from bench.engine.keys import system_key
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.errors import BenchError
from bench.fetch import weights
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
    """Run `plan` and write its results. What was published before, and is still true, is only told again."""
    announce(plan)
    folder = folder_of(wanted.results, plan.task, plan.dataset)
    with Store(wanted.store) as store:
        runner = Runner(plan, store)
        runner.run()
        done = key_of("published", runner.key, str(folder), package_sha256("bench", "*.py"))
        before = store.get(done) if not runner.failures else None
        if before is not None and _intact(before, folder):
            if not wanted.quiet:
                print(before["text"])
            return _tell(folder, before["written"], before["lost"], "up to date:")
        fresh = row_files.frame(plan, store, runner.failures)
        text, written, lost = deliver(fresh, folder, wanted)
        if not runner.failures:
            record = {"text": text, "written": [str(path) for path in written], "lost": lost}
            store.put(done, "published", record | {"rows": file_sha256(folder / "rows.parquet")})
    return _tell(folder, written, lost)


def _intact(before: Mapping[str, Any], folder: Path) -> bool:
    rows = folder / "rows.parquet"
    return all(Path(path).is_file() for path in before["written"]) and rows.is_file() and file_sha256(rows) == before["rows"]


def _tell(folder: Path, written: Sequence[Path | str], lost: Sequence[str], word: str = "wrote") -> Outcome:
    for path in written:
        print(f"{word} {path}")
    for label in lost:
        note = f"every utterance failed for {label}; the reasons are in {folder / 'leaderboard.md'}"
        print(f"warning: {note}", file=sys.stderr)
    return Outcome([folder], 1 if lost else 0)


def finish(fresh: pd.DataFrame, folder: Path, wanted: Options) -> Outcome:
    """Deliver rows that a task made by itself, and tell the paths."""
    _, written, lost = deliver(fresh, folder, wanted)
    return _tell(folder, written, lost)


def deliver(fresh: pd.DataFrame, folder: Path, wanted: Options) -> tuple[str, list[Path], list[str]]:
    """Merge fresh rows with those of earlier runs; write rows, table and plot; print the table.

    -> the table as printed, the files written, the systems of which every utterance failed.
    """
    rows = merge(folder / "rows.parquet", fresh)
    row_files.write(rows, folder / "rows.parquet")
    written = [folder / "rows.parquet", *publish(rows, folder)]
    from bench.report import leaderboard

    width = shutil.get_terminal_size((160, 40)).columns
    text = leaderboard.terminal(row_files.split(rows)[0], shown(rows), reported=reported(rows), width=width)
    if not wanted.quiet:
        print(text)
    return text, written, [label for label, failed in _lost_systems(fresh) if failed]


def publish(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Leaderboard and plot of `rows` in `folder`."""
    from bench.report import leaderboard, plots

    known = shown(rows)
    page = folder / "leaderboard.md"
    spoken, of_sets = row_files.split(rows)
    text = leaderboard.markdown(spoken, known, reported=reported(rows))
    page.write_text(text + facts_table(of_sets, known), encoding="utf-8")
    written = [page]
    if "bitrate_packed" in known:
        plot = folder / "rate_distortion.png"
        try:
            plots.rate_distortion(spoken, known, plot)
        except BenchError as error:
            print(f"no plot: {error}")
        else:
            written.append(plot)
    return written


def facts_table(rows: pd.DataFrame, known: Mapping[str, Column]) -> str:
    """What belongs to a whole set (code usage, a probe's size and cost): means over seeds and folds, as markdown."""
    if rows.empty:
        return ""
    from bench.report.text import markdown_table

    names = [name for name in known if name in set(rows["column"].astype(str))]
    head = ["codec", *(f"{known[name].title} ({known[name].unit})" if known[name].unit else known[name].title for name in names)]
    means = rows.groupby(["codec", "weights", "column"], observed=True)["value"].mean()
    lines = []
    for codec, label in dict.fromkeys((codec, label) for codec, label, _ in means.index):
        cells = [means.get((codec, label, name)) for name in names]
        texts = [
            "–" if cell is None else f"{cell * known[name].scale:.{known[name].decimals}f}"
            for cell, name in zip(cells, names, strict=True)
        ]
        lines.append([str(codec) if label == "none" else f"{codec} [{label}]", *texts])
    return "\n### Facts of the whole set\n\n" + markdown_table(head, lines) + "\n"


def columns() -> dict[str, Column]:
    """Column name -> Column: every metric's, the engine's, the probes' and conversion's."""
    from bench.probes.columns import COLUMNS as PROBED
    from bench.tasks.columns import derived

    return derived({**row_files.columns(), **PROBED})


def shown(rows: pd.DataFrame) -> dict[str, Column]:
    """The columns of `rows` in the order they are shown: the profile's, then the engine's, then what else was asked for.

    Of a metric that the profile names, only the named columns are shown (the rows keep all of them).
    """
    known = columns()
    card = task_cards.load(str(rows["task"].iloc[0]))
    named = card.columns or task_cards.profile(str(rows["profile"].iloc[0])).columns
    pairs = rows[["metric", "column"]].astype(str).drop_duplicates()
    chosen = set(pairs.loc[pairs["column"].isin(named), "metric"])
    present = set(pairs.loc[pairs["column"].isin(named) | ~pairs["metric"].isin(chosen), "column"])
    order = dict.fromkeys([*named, *row_files.ENGINE_COLUMNS, *known])
    return {name: known[name] for name in order if name in present and name in known}


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


def merge(path: Path, fresh: pd.DataFrame) -> pd.DataFrame:
    """`fresh` and those rows of `path` that are of the same list of utterances and of today's code and weights.

    A table never mixes two code versions: what is stale is left out, by name.
    """
    import pandas as pd

    if not path.is_file():
        return fresh
    old = row_files.read(path)
    old = old[old["dataset_sha256"].astype(str) == str(fresh["dataset_sha256"].iloc[0])]
    identity = ["codec", "weights", "device"]
    done = set(fresh[identity].astype(str).itertuples(index=False, name=None))
    current = dict(fresh[["metric", "metric_key"]].astype(str).drop_duplicates().itertuples(index=False, name=None))
    keep = []
    for (codec, label, device), group in old.groupby(identity, observed=True):
        if (codec, label, device) in done:
            continue
        reason = stale(str(codec), str(label), str(device), group, current)
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


def stale(codec: str, label: str, device: str, group: pd.DataFrame, current: Mapping[str, str]) -> str | None:
    """Why rows of an earlier run are no longer what today's code would give; None when they are.

    `current` maps a metric to its key in the rows that were just made.
    """
    for name, some in group.groupby("metric", observed=True):
        wanted = current.get(str(name))
        if wanted is not None and str(some["metric_key"].iloc[0]) != wanted:
            return f"the metric {name} has changed"
    name = codec.split(" ")[0]  # "opus@6 (decoded audio)" and the like are roles of opus@6
    if name.startswith("published@") or name.split("@")[0] not in cards.paths():
        return None  # audio decoded elsewhere, or a reference row: nothing of ours made it
    try:
        point = cards.resolve(name)
        if label in weights.KINDS:
            digest = weights.resolve(point, label).digest
        else:
            digest = str(group["weights_sha256"].iloc[0])  # given by path: whoever gave them knows whether they changed
        if system_key(point, digest, device) != str(group["system_key"].iloc[0]):
            return "its definition, settings, packages or weights have changed"
    except BenchError as error:
        return str(error)
    return None
