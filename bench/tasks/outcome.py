"""A task's run from plan to files: run it, merge its rows into the table, write and tell the table."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import writing
from bench.adapters.published import Published
from bench.content import package_sha256
from bench.data import channels
from bench.engine import executors
from bench.engine.keys import audio_sha256
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.report import text as texts
from bench.results import current, files, merge, publish, upkeep
from bench.results import rows as row_files
from bench.results.identity import by_system, identity_of
from bench.results.merge import Place
from bench.speech import Dataset
from bench.store import Store, key_of
from bench.tasks import columns, experiment
from bench.tasks.options import Options

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass
class Outcome:
    """Folders written by a run; `code` is the exit code (1 when every utterance of some system failed)."""

    folders: list[Path] = field(default_factory=list)
    code: int = 0

    def add(self, other: Outcome) -> None:
        """Take in another outcome: its folders, and the worse exit code."""
        self.folders += other.folders
        self.code = max(self.code, other.code)


def place(results: Path, task: str, dataset: Dataset, store: Store, suffix: str = "") -> Place:
    """Where the table of a task on a list of speech lies, below `results`; `suffix` sets a protocol's apart."""
    return merge.place(
        results, task, dataset.name + suffix, partial=len(dataset) if dataset.partial else 0,
        sha256=dataset.sha256, audio_sha256=audio_sha256(dataset, store),
    )  # fmt: skip


def checked_place(plan: Plan, wanted: Options, store: Store, suffix: str = "") -> Place:
    """Where the table of a plan lies. Raises BenchError where nothing can be written there, or where an experiment's file was
    made with other weights or speech."""
    writing.check_folder(wanted.results, writing.OF_RESULTS)
    found = place(wanted.results, plan.task, plan.dataset, store, suffix)
    experiment.check(plan, wanted, found)
    for folder in (found.base.parent, found.folder(), found.folder() / files.ROWS):
        writing.check_folder(folder, writing.OF_RESULTS)
    return found


def announce(plan: Plan, results: Path) -> None:
    """The first lines of every run: what is run, on what, with which weights, and where its results go."""
    data = plan.dataset
    speech = "synthetic speech" if data.synthetic else "recorded speech"
    part = ", PARTIAL" if data.partial else ""
    print(
        f"{plan.task} on {data.name} ({speech}, {len(data)} utterances, {len(data.speakers)} speakers{part}), "
        f"profile {plan.profile}, device {plan.device}, {plan.workers} workers"
        + ("" if plan.executor == executors.DEFAULT else f" ({plan.executor})")
    )
    if (told := channels.note(data)) is not None:
        print(f"  {told}")
    for note in data.notes:
        print(f"  {texts.clean(note)}")
    for system in plan.systems:
        if system.weights.kind != "none":
            print(f"  {system.label}: weights {system.weights.digest[:12]} from {system.weights.source}")
        if system.point.adapter == "published":
            _tell_matches(system, data)
    print(f"  results go to {results}", flush=True)


def _tell_matches(system: System, dataset: Dataset) -> None:
    """How many utterances have a decoded file, and which files belong to none."""
    found = Published(Path(system.point.settings["path"]), system.point.sample_rate)
    for line in found.told([str(u.extra.get("output", u.id)) for u in dataset], system.label, whole=not dataset.partial):
        print(f"  {texts.clean(line)}")


def execute(plan: Plan, wanted: Options) -> Outcome:
    """Run `plan` and write its results. What was published before, and is still true, is only told again."""
    announce(plan, wanted.results)
    with Store(wanted.store) as store:
        where = checked_place(plan, wanted, store)
        upkeep.inspect(where.folder())
        runner = Runner(plan, store, failures=wanted.failures)
        runner.run()
        folder = where.folder()
        done = key_of("published", runner.key, str(folder), package_sha256("bench", "*.py"), list(wanted.metrics))
        before = store.get(done) if not runner.failures else None
        if before is not None and _intact(before, folder, store):
            if not wanted.quiet:
                print(before["text"])
            return _tell(folder, before["written"], before["lost"], "up to date:", experiment.write(plan, wanted, where))
        systems = (row_files.slices(plan, line, store, runner.failures) for line in plan.lines)
        folder, text, written, lost = deliver(where, systems, quiet=wanted.quiet, asked=wanted.metrics)
        row_files.note_needs(plan, store, folder)
        if not runner.failures:
            record = {"text": text, "written": [str(path) for path in written], "lost": lost}
            store.put(done, "published", record | {"rows": _digest(folder, store)})
    return _tell(folder, written, lost, described=experiment.write(plan, wanted, where))


def _digest(folder: Path, store: Store) -> str:
    """Hash of all rows of a table."""
    return key_of(sorted((path.name, sha) for path, sha in store.file_sha256(files.paths(folder)).items()))


def _intact(before: Mapping[str, Any], folder: Path, store: Store) -> bool:
    return all(Path(path).is_file() for path in before["written"]) and _digest(folder, store) == before["rows"]


def _tell(
    folder: Path, written: Sequence[Path | str], lost: Sequence[str], word: str = "wrote", described: Path | None = None
) -> Outcome:
    for path in written:
        print(f"{word} {path}")
    if described is not None:
        print(f"wrote {described}")
    for label in lost:
        note = f"every utterance failed for {label}; the reasons are in {folder / 'leaderboard.md'}"
        print(f"warning: {note}", file=sys.stderr)
    return Outcome([folder], 1 if lost else 0)


def finish(fresh: pd.DataFrame, where: Place, plan: Plan, wanted: Options) -> Outcome:
    """Deliver rows that a task made by itself, and tell the paths."""
    fresh = fresh.assign(dataset_sha256=where.dataset_sha256, audio_sha256=where.audio_sha256)
    systems = ([part] for _, part in by_system(fresh))
    folder, _, written, lost = deliver(where, systems, quiet=wanted.quiet, asked=wanted.metrics)
    return _tell(folder, written, lost, described=experiment.write(plan, wanted, where))


def deliver(
    where: Place, systems: Iterable[Iterable[pd.DataFrame | pa.Table]], *, quiet: bool, asked: Sequence[str] = ()
) -> tuple[Path, str, list[Path], list[str]]:
    """Merge fresh rows, system by system, with those of earlier runs; write table and plot; print the table.

    asked: columns to show beside the profile's. -> the folder, the table as printed, the files written, the systems of
    which every utterance failed.
    """
    with upkeep.locked(where.base):
        folder = where.folder()
        renewed = [made for slices in systems if (made := merge.renew(folder, slices)) is not None]
        written = [folder / files.ROWS / made.identity.file_name for made in renewed]
        rows = current.read(folder)
        width = shutil.get_terminal_size((160, 40)).columns
        text, pages = publish.publish(rows, folder, columns.shown(rows.kinds, asked), width, columns.plot(rows.kinds))
        written += pages
    if not quiet:
        print(text)
    return folder, text, written, [label for made in renewed if made.lost for label in labels(rows.kinds, made)]


def labels(rows: pd.DataFrame, made: merge.Renewed) -> list[str]:
    """How the table calls a system."""
    from bench.stats.labels import system_labels

    distinct = rows[list(vars(made.identity))].drop_duplicates()
    names = system_labels(distinct)
    return [name for name, row in zip(names, distinct.to_dict("records"), strict=True) if identity_of(row) == made.identity]
