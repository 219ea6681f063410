"""What the three probes share: codes from the engine, a division of the data, training over seeds, rows.

A system's tokens are extracted once and serve every seed. A codec without tokens (Opus) is probed on the log-mel of its
decoded audio, under a name that says so. Every table has a topline (log-mel of the original) and a chance row.
"""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import adapters, audio, data, provenance
from bench.data import splits
from bench.engine import plan as planning
from bench.engine import rows as row_files
from bench.engine.plan import Keys, Plan, System
from bench.engine.runner import Runner
from bench.engine.worker import one_thread
from bench.errors import BenchError, UnknownName
from bench.probes.settings import Settings, settings
from bench.progress import Progress
from bench.speech import Dataset, Utterance
from bench.store import Store, key_of
from bench.tasks import cards, options, outcome
from bench.tasks.options import Options

if TYPE_CHECKING:
    import pandas as pd

    from bench.probes.inputs import Inputs

TOPLINE = "log-mel"
DECODED = " (decoded audio)"
FEATURES = " (continuous)"
CHANCE = "chance"
DEFAULT_CODECS = ("focalcodec@50", "codec2@700")


@dataclass(frozen=True)
class Division:
    """Train, validation and test utterances (ids) and the target of each; `classes` names the labels (none for ASR)."""

    fold: str
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    targets: Mapping[str, str | int]
    classes: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Job:
    """One training: a system's inputs, a division, a seed."""

    task: str
    name: str
    system: System | None
    kind: str
    utterances: tuple[Utterance, ...]
    division: Division
    settings: Settings
    seed: int
    store: Path
    key: str
    device: str


def label_of(task: str, utterance: Utterance) -> str | None:
    """The target of an utterance under a task; None when the data do not tell."""
    if task == "asr":
        return utterance.text
    return utterance.speaker if task == "si" else utterance.emotion


def divide(task: str, dataset: Dataset, split: str, folds: Sequence[str] | None = None) -> list[Division]:
    """Divide `dataset` by a committed list, by LibriSpeech's own subsets, or per speaker 8:1:1 (`speakers`)."""
    made = []
    for fold, parts in _parts(dataset, split, folds):
        named = {u.id: label_of(task, u) for part in parts.values() for u in part}
        lost = [name for name, label in named.items() if not label]
        if lost:
            what = {"asr": "transcript", "si": "speaker", "ser": "emotion"}[task]
            some = f"{len(lost)} utterances have no {what}, for example {lost[0]}"
            raise BenchError(f"{dataset.name}: {some}; leave them out or add it")
        classes: tuple[str, ...] = ()
        if task != "asr":
            classes = tuple(sorted({str(named[u.id]) for u in parts["train"]}))
            strange = {str(named[u.id]) for u in (*parts["valid"], *parts["test"])} - set(classes)
            if strange:
                raise BenchError(f"{dataset.name}, split {split}: labels {sorted(strange)[:5]} are tested but never trained")
            few = [label for label, count in Counter(named[u.id] for u in parts["train"]).items() if count < 2]
            if few:
                raise BenchError(f"{dataset.name}, split {split}: fewer than 2 training utterances for {few[:5]}")
        targets: dict[str, str | int] = {k: classes.index(str(v)) if classes else str(v) for k, v in named.items()}
        ids = {part: tuple(u.id for u in some) for part, some in parts.items()}
        made.append(Division(fold, ids["train"], ids["valid"], ids["test"], targets, classes, key_of(ids, targets)))
    return made


def _parts(dataset: Dataset, split: str, folds: Sequence[str] | None) -> Iterator[tuple[str, dict[str, list[Utterance]]]]:
    if split == "subsets":
        prefixes = {"train": "train", "valid": "dev", "test": "test"}
        yield "", {p: [u for u in dataset if str(u.extra.get("subset", "")).startswith(s)] for p, s in prefixes.items()}
    elif split == "speakers":
        taken: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
        for speaker in dataset.speakers:
            own = sorted((u for u in dataset if u.speaker == speaker), key=lambda u: key_of("split", u.id))
            if len(own) < 10:
                raise BenchError(f"{dataset.name}: speaker {speaker} has {len(own)} utterances; 10 are needed to divide 8:1:1")
            tenth = max(1, len(own) // 10)
            taken["test"] += own[:tenth]
            taken["valid"] += own[tenth : 2 * tenth]
            taken["train"] += own[2 * tenth :]
        yield "", taken
    else:
        listed = splits.load(split)
        for fold in (folds or listed.folds) if listed.folded else ("",):
            parts = listed.parts(dataset, fold or None)
            yield str(fold), {part: list(some) for part, some in parts.items()}


def run(task: str, wanted: Options) -> outcome.Outcome:
    """Probe every system of `wanted` and write the table."""
    card = cards.load(task)
    profile = wanted.profile.split(":")[0]
    device = options.device(wanted.device)
    protocol = wanted.protocol or card.settings["protocol"].get(profile, "focalcodec")
    chosen = settings(protocol, task)
    seeds = wanted.seeds or tuple(card.settings["seeds"])
    names = wanted.codecs or DEFAULT_CODECS
    systems = planning.systems(names, profile=profile, want=wanted.weights, device=device)
    results = outcome.Outcome()
    for source in wanted.data or (card.data[profile],):
        dataset = data.load(source)
        base = data.Source.parse(source).name
        if base not in card.settings["split"]:
            raise UnknownName(f"data set with a {task} division", base, card.settings["split"])
        divisions = divide(task, dataset, card.settings["split"][base], card.settings.get("folds"))
        needed = {name for d in divisions for name in (*d.train, *d.valid, *d.test)}
        dataset = dataset.select([u for u in dataset if u.id in needed]).limit(wanted.limit)
        if dataset.partial:
            raise BenchError(f"LIMIT does not fit TASK={task}: a probe on part of its division has another meaning")
        plan = Plan(task, tuple(systems), dataset, (), wanted.profile, device, (), wanted.workers or planning.cores())
        outcome.announce(plan)
        print(f"  protocol {protocol}, {len(divisions)} division(s), seeds {', '.join(map(str, seeds))}", flush=True)
        with Store(wanted.store) as store:
            Runner(plan, store).run()
            fresh = _rows(plan, store, divisions, chosen, seeds, wanted.continuous)
        results.add(outcome.finish(fresh, outcome.folder_of(wanted.results, task, dataset), wanted))
    return results


def _kind(system: System, plan: Plan, store: Store) -> str:
    """tokens, or decoded when the codec sends none."""
    from bench.codes import Codes
    from bench.probes.inputs import has_tokens

    keys = Keys(plan.dataset.select(plan.dataset.utterances[:1]), (), store)
    record = store.get(keys.coded(system, plan.dataset.utterances[0]))
    if record is None:
        raise BenchError(f"{system.label}: {plan.dataset.utterances[0].id} could not be coded; see `make bench` on this set")
    return "tokens" if "codes" in record and has_tokens(Codes.from_bytes(record["codes"])) else "decoded"


def _jobs(
    plan: Plan, store: Store, divisions: Sequence[Division], chosen: Settings, seeds: Sequence[int], continuous: bool
) -> list[Job]:
    runs: list[tuple[str, System | None, str]] = [(TOPLINE, None, "mel")]
    for system in plan.systems:
        kind = _kind(system, plan, store)
        if kind == "decoded":
            print(f"  {system.label} has no tokens: probed on the log-mel of its decoded audio, as '{system.name}{DECODED}'")
        runs.append((system.name + (DECODED if kind == "decoded" else ""), system, kind))
        if continuous:
            runs.append((system.name + FEATURES, system, "features"))
    keys = Keys(plan.dataset, (), store)
    code = provenance.code_version("bench.probes.training"), provenance.package_versions(["torch", "speechbrain"])
    jobs = []
    for name, probed, kind in runs:
        inputs = [keys.coded(probed, u) if probed else keys.spoken(u) for u in plan.dataset]
        for division in divisions:
            for seed in seeds:
                place = plan.device.split(":")[0]
                key = key_of("probe", plan.task, kind, inputs, division.sha256, chosen.asdict(), seed, code, place)
                spoken = plan.dataset.utterances
                jobs.append(Job(plan.task, name, probed, kind, spoken, division, chosen, seed, store.path, key, plan.device))
    return jobs


def _inputs(job: Job, store: Store) -> Inputs:
    from bench.codec import HasCodebooks, HasFeatures
    from bench.codes import Codes
    from bench.probes import inputs

    if job.kind == "mel":
        made = inputs.Inputs(job.name, 100.0)
        made.features = {u.id: inputs.log_mel(u.read_reference(16000)[0]) for u in job.utterances}
        return made
    assert job.system is not None
    keys = Keys(Dataset("job", job.utterances), (), store)
    wanted = {u.id: keys.coded(job.system, u) for u in job.utterances}
    if job.kind == "features":
        codec = adapters.load(job.system.point, job.system.weights, "cpu")
        if not isinstance(codec, HasFeatures):
            raise BenchError(f"{job.system.name} has no continuous features; leave out --continuous for it")
        made = inputs.Inputs(job.name, codec.feature_rate_hz)
        made.features = {u.id: codec.features(u.read(codec.sample_rate)[0]) for u in job.utterances}
        return made
    records = store.get_many(list(wanted.values()))
    lost = [name for name, key in wanted.items() if key not in records]
    if lost:
        raise BenchError(f"{job.system.label}: {len(lost)} utterances could not be coded, for example {lost[0]}")
    if job.kind == "decoded":
        made = inputs.Inputs(job.name, 100.0)
        for name, key in wanted.items():
            wave, rate = audio.from_flac(records[key]["decoded"])
            made.features[name] = inputs.log_mel(audio.resample(wave, rate, 16000))
        return made
    codec = adapters.load(job.system.point, job.system.weights, "cpu")
    tables = codec.codebooks() if isinstance(codec, HasCodebooks) else None
    return inputs.from_codes(job.name, {name: Codes.from_bytes(records[key]["codes"]) for name, key in wanted.items()}, tables)


def train(job: Job) -> tuple[str, dict[str, Any]]:
    """Train one probe in a worker process and store its outputs; a killed training goes on from its checkpoint."""
    import torch

    from bench.probes import text
    from bench.probes.training import Example, Probe

    torch.set_num_threads(1)
    if job.device == "cpu":
        torch.use_deterministic_algorithms(True)
    with Store(job.store) as store:
        inputs = _inputs(job, store)
        examples = {part: [Example(name, job.division.targets[name]) for name in getattr(job.division, part)]
                    for part in ("train", "valid", "test")}  # fmt: skip
        classes = text.CLASSES if job.task == "asr" else len(job.division.classes)
        probe = Probe(job.task, inputs, classes, job.settings, job.seed, job.device)
        checkpoint = job.store.parent / "probes" / f"{job.key}.pt"
        trained = probe.fit(examples["train"], examples["valid"], checkpoint, lambda epoch, error: None)
        result = {
            "outputs": probe.predict(examples["test"]), "curve": trained.curve, "best_epoch": trained.best_epoch,
            "parameters": trained.parameters, "seconds": trained.seconds, "frames_per_s": trained.frames_per_s,
        }  # fmt: skip
        store.put(job.key, "probe", result)
    checkpoint.unlink(missing_ok=True)
    return job.key, result


def _rows(
    plan: Plan, store: Store, divisions: Sequence[Division], chosen: Settings, seeds: Sequence[int], continuous: bool
) -> pd.DataFrame:
    jobs = _jobs(plan, store, divisions, chosen, seeds, continuous)
    results = store.get_many([job.key for job in jobs])
    due = [job for job in jobs if job.key not in results]
    if due:
        context = multiprocessing.get_context("spawn")
        workers = 1 if plan.device.startswith("cuda") else min(plan.workers, len(due))
        with (
            Progress(len(due), f"{plan.task} probes", unit="training") as progress,
            ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread) as pool,
        ):
            names = {pool.submit(train, job): job.name for job in due}
            for future in as_completed(names):
                key, result = future.result()
                results[key] = result
                progress.advance(1, names[future])
    records = [row for job in jobs for row in _job_rows(plan, job, results[job.key])]
    records += [row for division in divisions for row in _chance_rows(plan, division, chosen)]
    return row_files.typed(records)


def _base(plan: Plan, settings_of: Settings) -> dict[str, Any]:
    return row_files.base(plan) | {
        "metric": "probe", "metric_version": "1", "metric_key": key_of("probe", settings_of.asdict()),
    }  # fmt: skip


def _job_rows(plan: Plan, job: Job, result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    known = {u.id: u for u in job.utterances}
    facts = row_files.system_facts(job.system) if job.system else row_files.pseudo_facts(job.name)
    row = _base(plan, job.settings) | facts | {"codec": job.name, "seed": job.seed, "settings": json.dumps(job.settings.asdict())}
    where = f"fold{job.division.fold}/seed{job.seed}" if job.division.fold else f"seed{job.seed}"
    for name, output in result["outputs"].items():
        u = known[name]
        of_utterance = row | {"utterance": f"{name}/{where}", "speaker": u.speaker, "language": u.language}
        for column, num, den in errors(job.task, output, job.division.targets[name]):
            yield of_utterance | {"column": column, "num": num, "den": den, "value": num / den if den else None}
    for column, value in (
        ("probe_params", result["parameters"] / 1e6), ("probe_train_s", result["seconds"]), ("probe_epoch", result["best_epoch"]),
    ):  # fmt: skip
        yield row | {"utterance": where, "speaker": "-", "language": "-", "column": column, "value": float(value)}


def errors(task: str, output: str | int, target: str | int) -> Iterator[tuple[str, float, float]]:
    """(column, errors, out of) of one utterance."""
    if task != "asr":
        yield "probe_er", float(output != target), 1.0
        return
    import jiwer

    from bench.probes.text import normalise

    wanted = normalise(str(target))
    words = jiwer.process_words(wanted, str(output))
    letters = jiwer.process_characters(wanted, str(output))
    for name, measured in (("probe_wer", words), ("probe_cer", letters)):
        wrong = measured.substitutions + measured.deletions + measured.insertions
        yield name, float(wrong), float(measured.hits + measured.substitutions + measured.deletions)


def _chance_rows(plan: Plan, division: Division, chosen: Settings) -> Iterator[dict[str, Any]]:
    """What knowing nothing gives: an empty transcript, or a label drawn evenly (its expected error)."""
    known = {u.id: u for u in plan.dataset}
    row = _base(plan, chosen) | row_files.pseudo_facts(CHANCE)
    for name in division.test:
        u = known[name]
        where = f"{name}/fold{division.fold}" if division.fold else name
        of_utterance = row | {"utterance": where, "speaker": u.speaker, "language": u.language}
        if division.classes:
            wrong = 1.0 - 1.0 / len(division.classes)
            yield of_utterance | {"column": "probe_er", "num": wrong, "den": 1.0, "value": wrong}
            continue
        for column, num, den in errors("asr", "", division.targets[name]):
            yield of_utterance | {"column": column, "num": num, "den": den, "value": num / den}
