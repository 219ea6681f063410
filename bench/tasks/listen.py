"""A page to listen to the systems of a task: `python -m bench listen --codec focalcodec@50,opus@6`.

Nothing that is in the store is coded again. Scores stand beside a clip only where the rows of a finished run are of the
very system that is heard: same weights, same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import audio, data, writing
from bench.data import channels
from bench.engine.keys import audio_sha256
from bench.engine.plan import Plan
from bench.engine.records import decoded_wave
from bench.engine.runner import Runner
from bench.errors import BenchError, UnknownName
from bench.metrics import Column, MetricFailure
from bench.report import listening, trial
from bench.report.columns import heading, score_names
from bench.report.listening import Clip, Item
from bench.results import facts as row_facts
from bench.results import files, merge, schema
from bench.speech import Dataset, Utterance
from bench.stats.labels import CEILING, REFERENCE
from bench.store import Store
from bench.tasks import cards, loadable, options, outcome, resynthesis, vc
from bench.tasks.columns import shown

if TYPE_CHECKING:
    import pandas as pd

TASKS = ("resynthesis", "vc")


@dataclass(frozen=True)
class Heard:
    """What can be heard: the codecs' inputs, and the recordings played beside them: (name, path or None for the input)."""

    dataset: Dataset
    beside: Mapping[str, Sequence[tuple[str, Path | None]]]
    codecs: Sequence[str]


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench listen`; returns the exit code."""
    made = options.Parser(prog="bench listen", description="Write a page with originals, decoded speech and scores.")
    made.add_argument("--task", default="resynthesis", help="resynthesis (default) or vc")
    made.add_argument("--codec", type=options.names, default=(), metavar="NAMES", help="family@point[,more]")
    made.add_argument("--data", default="", metavar="SOURCE", help="a data set (default: the task's)")
    made.add_argument(
        "--channels", default=channels.AVERAGE, metavar="CHOICE", help="of files with several: average, first, each"
    )
    made.add_argument("--weights", default=None, metavar="KIND|PATH", help="official, nano, random, or a file or folder")
    made.add_argument("--protocol", default="focalcodec", help="of conversion: focalcodec or freecodec")
    made.add_argument("--count", type=int, default=8, metavar="N", help="utterances (default: 8)")
    made.add_argument("--by", default="", metavar="COLUMN", help="worst first by this score (default: the table's first)")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    made.add_argument("--store", type=Path, default=None, metavar="FILE", help="store of finished stages")
    made.add_argument("--results", type=Path, default=options.RESULTS, metavar="DIR", help="where rows are, and the page goes")
    made.add_argument("--test", default="", metavar="KIND", help="a listening test instead of a page: " + ", ".join(trial.KINDS))
    asked = made.parse_args(argv)
    if asked.test and asked.test not in trial.KINDS:
        raise UnknownName("listening test", asked.test, trial.KINDS)
    place = asked.results / "listening" / asked.task
    writing.check_folder(place, writing.OF_RESULTS)
    found = hear(asked.task, asked.codec, asked.data, asked.weights, asked.protocol, asked.count, asked.by, asked.device,
                 asked.store, asked.results, channels.check(asked.channels))  # fmt: skip
    folder = place / found.folder
    if asked.test:
        page = trial.write(folder, asked.test, found.title, found.items, found.rows)
    else:
        page = listening.write(folder, found.title, found.facts, found.items, found.columns)
    print(f"wrote {page}")
    return int(bool(found.left_out))


@dataclass(frozen=True)
class Session:
    """What a page of clips is made of. folder: the table's name. rows: system -> the fields of rows that are its own.
    left_out: why systems that were asked for are not here."""

    title: str
    facts: Sequence[str]
    items: Sequence[Item]
    columns: Mapping[str, Column]
    folder: str
    rows: Mapping[str, Mapping[str, Any]]
    left_out: Sequence[str] = ()


def hear(
    task: str,
    codecs: Sequence[str],
    source: str = "",
    weights: str | None = None,
    protocol: str = "focalcodec",
    count: int = 8,
    by: str = "",
    device: str = "auto",
    store_at: Path | None = None,
    results: Path = options.RESULTS,
    choice: str = channels.AVERAGE,
) -> Session:
    """Clips of some systems with their scores; what is not in the store is coded. Raises UnknownName, BenchError."""
    if task not in TASKS:
        raise UnknownName("task to listen to", task, TASKS)
    if count < 1:
        raise BenchError(f"--count {count}: must be at least 1")
    if task == "vc" and choice != channels.AVERAGE:
        raise BenchError("--channels is no flag of the task vc; leave it out (CHANNELS= of make)")
    heard = _heard(task, source, protocol, choice)
    device = options.device(device)
    systems, left_out = loadable.systems(codecs or heard.codecs, want=weights, device=device)
    with Store(store_at) as store:
        folder = outcome.place(results, task, heard.dataset, store).folder()
        own = {system.label: row_facts.system_facts(system, store) for system in systems}
    in_rows = {system.key: str(own[system.label]["system_key"]) for system in systems}
    rows = _rows(folder, {(system.name, in_rows[system.key]) for system in systems})
    columns = {} if rows is None else shown(rows)
    columns = {name: columns[name] for name in score_names(columns, columns)}
    chosen, order = _chosen(heard.dataset, rows, columns, by, count)
    lines = vc.conversions(systems) if task == "vc" else ()
    plan = Plan(task, tuple(systems), chosen, (), device=device, always=(), lines=lines)
    outcome.announce(plan, results / "listening")
    with Store(store_at) as store:
        runner = Runner(plan, store)
        runner.run()
        found = _scores(rows, columns)
        scores = {(key, uid): some for key, told in in_rows.items() for (its, uid), some in found.items() if its == told}
        items = [_item(u, heard.beside.get(u.id, ()), runner, scores) for u in chosen]
        base = row_facts.base(Plan(task, tuple(systems), heard.dataset, (), device=device, always=(), lines=lines))
        base |= {"audio_sha256": audio_sha256(heard.dataset, store), "role": plan.lines[0].producer.role, "variant": ""}
    facts = [
        f"{heard.dataset.name}: {len(chosen)} of {len(heard.dataset)} utterances, {order}",
        *(f"{s.label}: weights {s.weights.digest[:12]} from {s.weights.source}" for s in systems if s.weights.kind != "none"),
        "clips are brought to the level of each first one by the gain beside them",
    ]
    title = f"{task}, {heard.dataset.name}: {', '.join(system.label for system in systems)}"
    return Session(title, facts, items, columns, folder.name, {name: base | some for name, some in own.items()}, left_out)


def _heard(task: str, source: str, protocol: str, choice: str) -> Heard:
    if task == "resynthesis":
        dataset = data.load(source or cards.load(task).data["embedded"], channels=choice)
        return Heard(dataset, {u.id: _originals(u) for u in dataset}, resynthesis.DEFAULT_CODECS)
    [source] = vc.sources(protocol, "embedded", (source,) if source else ())
    listed = vc.listed_trials(source, protocol)
    beside = {name: (("source", trial.source.path), ("target", trial.target)) for name, trial in listed.trials.items()}
    return Heard(listed.dataset, beside, vc.default_codecs(source))


def _originals(u: Utterance) -> Sequence[tuple[str, Path | None]]:
    return [("original", u.reference), ("input", None)] if u.reference else [("original", None)]


def _rows(folder: Path, current: Set[tuple[str, str]]) -> pd.DataFrame | None:
    """Rows of a finished run that are of these systems (name, key) as they are today; None where there are none.

    What a system could reach at best is not what is heard here.
    """
    if not files.paths(folder):
        return None
    rows = schema.split(merge.read(folder)[0])[0]
    rows = rows[~rows["role"].isin([CEILING, REFERENCE])]
    rows = rows[[pair in current for pair in zip(rows["codec"].astype(str), rows["system_key"].astype(str), strict=True)]]
    return rows if len(rows) else None


def _chosen(
    dataset: Dataset, rows: pd.DataFrame | None, columns: Mapping[str, Column], by: str, count: int
) -> tuple[Dataset, str]:
    """(utterances to hear, how they were chosen): worst first by the mean over systems, else some of every speaker."""
    if by and by not in columns:
        raise UnknownName("score of these systems (run the task first)", by, columns)
    if rows is None or not columns:
        return dataset.limit(count), "spread over speakers (no scores of these systems yet: run the task, then listen)"
    name = by or next(iter(columns))
    means = rows[rows["column"].astype(str) == name].groupby(rows["utterance"].astype(str))["value"].mean().dropna()
    means = means.sort_values(ascending=columns[name].better == "higher", kind="stable")
    known = {u.id: u for u in dataset}
    worst = [known[uid] for uid in means.index if uid in known][:count]
    return dataset.select(worst, partial=len(worst) < len(dataset)), f"worst {heading(columns[name], arrow=False)} first"


def _scores(rows: pd.DataFrame | None, columns: Mapping[str, Column]) -> dict[tuple[str, str], dict[str, float]]:
    """(system key, utterance) -> column -> value."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    if rows is not None:
        scored = rows[rows["column"].astype(str).isin(list(columns)) & rows["value"].notna()]
        for key, uid, column, value in scored[["system_key", "utterance", "column", "value"]].itertuples(index=False):
            found.setdefault((str(key), str(uid)), {})[str(column)] = float(value)
    return found


def _item(
    u: Utterance, beside: Sequence[tuple[str, Path | None]], runner: Runner,
    scores: Mapping[tuple[str, str], Mapping[str, float]],
) -> Item:  # fmt: skip
    clips = [Clip(name, *(u.read() if path is None else audio.read(path))) for name, path in beside]
    for line in runner.plan.lines:
        system = line.system
        key = runner.schedule.keys.wave(line, u)
        record = runner.store.get(key)
        wave, rate = None, system.point.sample_rate
        lost = runner.failures.get(key, ("missing", "not in the store"))
        if record is not None:
            rate = int(record["rate_hz"])
            try:
                wave = decoded_wave(record, rate, None)
            except MetricFailure as failure:
                lost = failure.kind, failure.detail
        if wave is None:
            clips.append(Clip(system.label, None, rate, failure=": ".join(lost)))
        else:
            clips.append(Clip(system.label, wave, rate, scores.get((system.key, u.id), {})))
    return Item(u.id, u.speaker, u.text or "", tuple(clips))
