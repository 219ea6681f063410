"""What the three probes share: codes from the engine, a division of the data, training over seeds.

A system's tokens are extracted once and serve every seed. A codec without tokens (Opus) is probed on the log-mel of its
decoded audio, under a name that says so. Every table has a topline (log-mel of the original) and a chance row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any, Literal

from bench import audio, data, definitions, device
from bench.coding.codec import HasFeatures
from bench.coding.codes import Codes
from bench.engine import executors
from bench.engine.executors import ExecutorOptions
from bench.engine.keys import probe_key
from bench.engine.plan import Line, Plan
from bench.engine.runner import Runner
from bench.errors import BenchError
from bench.probes import inputs as reading
from bench.probes import jobs
from bench.probes.division import Division, check_labels, divide
from bench.probes.inputs import Inputs
from bench.probes.jobs import Job
from bench.probes.settings import Settings, settings
from bench.results import rows as row_files
from bench.results import upkeep
from bench.speech import Dataset
from bench.stats.labels import called
from bench.store import Store, key_of
from bench.tasks import cards, coded, loadable, options, outcome, probe_rows, trainings
from bench.tasks.options import Options
from bench.tasks.probe_rows import Probed

TOPLINE = "log-mel"
ANY = "any"
"""In a card's table of divisions: that of every set that has none of its own, such as a user's folder."""
DEFAULT_CODECS = ("focalcodec@50", "codec2@1200")
FASTEST_HZ = 1000.0
PROBES_PER_DEVICE = 3


Kind = Literal["tokens", "decoded", "features", "mel"]
VARIANTS: Mapping[Kind, str] = {"decoded": "decoded audio", "features": "continuous"}
"""What is read where it is not a codec's tokens."""


@dataclass(frozen=True)
class Subject:
    """What one row of the table probes: a system's tokens, decoded audio or features, or the original's log-mel.

    key: of what is read. records: utterance -> key of its coded record.
    """

    codec: str
    kind: Kind
    line: Line | None
    key: str
    records: Mapping[str, str] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """What of the codec is read, where it is not its tokens."""
        return VARIANTS.get(self.kind, "")

    @property
    def name(self) -> str:
        """What the row is called, weights apart."""
        return called(self.codec, probe_rows.ROLE, self.variant)


def run(task: str, wanted: Options) -> outcome.Outcome:
    """Probe every system of `wanted` on every data set of `wanted`; rows and table of each are written and told."""
    card = cards.load(task)
    profile = wanted.profile.split(":")[0]
    run_on = options.device(wanted.device)
    usual = card.settings["protocol"].get(profile, "focalcodec")
    protocol = wanted.protocol or usual
    chosen = settings(protocol, task)
    seeds = wanted.seeds or tuple(card.settings["seeds"])
    names = wanted.codecs or DEFAULT_CODECS
    systems, left_out = loadable.systems(names, profile=profile, want=wanted.weights, device=run_on)
    results = outcome.Outcome(code=int(bool(left_out)))
    for source in wanted.data or (card.data[profile],):
        if wanted.limit is not None:
            raise BenchError(f"LIMIT does not fit TASK={task}: a probe on part of its division has another meaning")
        dataset = _speech(source, card)
        divisions = _divisions(task, dataset, data.Source.parse(source).name, card, protocol)
        needed = set().union(*(division.ids for division in divisions))
        dataset = dataset.select([u for u in dataset if u.id in needed])
        plan = Plan(task, tuple(systems), dataset, (), profile=wanted.profile, device=run_on, always=(), **wanted.engine)
        asked = replace(wanted, data=(source,), protocol=protocol, seeds=seeds)
        outcome.announce(plan, wanted.results)
        print(f"  protocol {protocol}, {len(divisions)} division(s), seeds {', '.join(map(str, seeds))}", flush=True)
        with Store(wanted.store) as store:
            suffix = "" if protocol == usual else f"-{protocol}"
            place = outcome.checked_place(plan, asked, store, suffix)
            upkeep.inspect(place.folder())
            runner = Runner(plan, store)
            runner.run()
            able, left_out = coded.able(plan.lines, partial(coded.keys, runner, utterances=dataset.utterances))
            subjects = list(_subjects(runner, able, wanted.continuous))
            probed = _train(runner, subjects, divisions, chosen, seeds)
            fresh = probe_rows.frame(runner, probed, divisions, chosen)
            row_files.note_needs(plan, store, place.folder())
            for one in probed:
                store.need(f"{place.folder().resolve()}#{one.name}#probe {one.job.key[:8]}", [one.job.key])
        results.add(outcome.finish(fresh, place, plan, asked))
        results.code = max(results.code, int(bool(left_out)))
    return results


def _speech(source: str, card: cards.TaskCard) -> Dataset:
    """The data set; of one that is named without a subset the one that the task's card names, under the set's own name."""
    asked = data.Source.parse(source)
    subset = card.settings.get("subset", {}).get(asked.name)
    if subset is None or asked.subsets:
        return data.load(source)
    return replace(data.load(f"{source}#{subset}"), name=asked.title())


def _divisions(task: str, dataset: Dataset, name: str, card: cards.TaskCard, protocol: str) -> list[Division]:
    split = card.settings["split"].get(name)
    if split is None:
        data.module(name.removesuffix(data.NOISY))  # Raises UnknownName.
        split = card.settings["split"][ANY]
        check_labels(task, dataset)
    # Only the small protocol thins out the training part and leaves folds out.
    small = card.settings if protocol == "embedded" else {}
    cap, folds = (small.get(key, {}).get(name) for key in ("cap", "folds"))
    labels = card.settings.get("labels", {}).get(name, ())
    return divide(task, dataset, split, folds=folds, labels=labels, cap=cap)


def _subjects(runner: Runner, able: Sequence[tuple[Line, Mapping[str, str]]], continuous: bool) -> Iterator[Subject]:
    """What is probed of each line, given with the keys of its coded records."""
    plan, store = runner.plan, runner.store

    def subject(
        codec: str, kind: Kind, line: Line | None, of: Sequence[str], records: Mapping[str, str] = MappingProxyType({})
    ) -> Subject:
        who = line.system.key if line and kind == "features" else ""
        key = key_of("probe inputs", kind, who, list(of), definitions.get("probe-inputs").identity)
        return Subject(codec, kind, line, key, records)

    originals = [runner.schedule.keys.reference(u) for u in plan.dataset]
    yield subject(TOPLINE, "mel", None, originals)
    for line, records in able:
        system = line.system
        of = list(dict.fromkeys(records.values()))
        record = store.get(of[0])
        if record is not None and "codes" in record and readable(Codes.from_bytes(record["codes"])):
            yield subject(system.name, "tokens", line, of, records)
        else:
            made = subject(system.name, "decoded", line, of, records)
            print(f"  {system.label} sends no tokens to read: probed on the log-mel of its decoded audio, as '{made.name}'")
            yield made
        if continuous:
            yield subject(system.name, "features", line, originals)


def readable(codes: Codes) -> bool:
    """Whether there are tokens for a recurrent network to read: none as fast as samples (mu-law)."""
    return reading.has_tokens(codes) and max(stream.rate_hz for stream in codes.tokens) <= FASTEST_HZ


def _train(
    runner: Runner, subjects: Sequence[Subject], divisions: Sequence[Division], chosen: Settings, seeds: Sequence[int]
) -> list[Probed]:
    """Every training that is not in the store yet, on the plan's executor."""
    plan, store = runner.plan, runner.store
    place = plan.device.split(":")[0]
    checkpoints = executors.shared(plan.executor, store) / "probes"
    found = []
    with trainings.scratch(plan, store) as scratch:
        path = {subject.key: scratch / f"{n}.npz" for n, subject in enumerate(subjects)}
        for subject in subjects:
            for division in divisions:
                for seed in seeds:
                    about = (plan.task, subject.key, division.sha256, probe_key(chosen.asdict()), seed, place)
                    key = key_of("probe", *about)
                    job = Job(plan.task, path[subject.key], division, chosen, seed, checkpoints, key, plan.device)
                    system = subject.line.system if subject.line else None
                    found.append(Probed(subject.codec, subject.variant, system, division, seed, job, {}))
        results = store.get_many([one.job.key for one in found])
        due = [one.job for one in found if one.job.key not in results]
        wanted = {job.inputs for job in due}
        for subject in subjects:
            if path[subject.key] in wanted:
                _inputs(subject, runner).save(path[subject.key])
        results |= run_jobs(due, plan, store) if due else {}
    return [replace(one, result=results[one.job.key]) for one in found]


def run_jobs(due: Sequence[Any], plan: Plan, store: Store, kind: ModuleType = jobs) -> dict[str, dict[str, Any]]:
    """Results of trainings by key; `kind`: the module whose `run` does a job, and which is told when it is stored."""
    away = not device.is_cpu(plan.device)
    # Probes are small: several seeds share a device, so that one computes while another waits for its next batch.
    places = device.all_of(plan.device) * PROBES_PER_DEVICE
    options = ExecutorOptions(0 if away else min(plan.workers, len(due)), places[: len(due)] if away else ())
    with executors.make(plan.executor, options) as executor:
        return trainings.run(kind.run, due, plan, store, executor, label=f"{plan.task} probes", stage="probe")


def _inputs(subject: Subject, runner: Runner) -> Inputs:
    """What the probe reads of every utterance; tokens and decoded audio come out of the store."""
    dataset = runner.plan.dataset
    made = Inputs(subject.name, reading.MEL_RATE_HZ)
    if subject.line is None:
        made.features = {u.id: reading.log_mel(u.read_reference(16000)[0]) for u in dataset}
        return made
    system = subject.line.system
    if subject.kind == "features":
        codec = coded.loaded(system)
        if not isinstance(codec, HasFeatures):
            raise BenchError(f"{system.name} has no continuous features; leave out --continuous for it")
        made.rate_hz = codec.feature_rate_hz
        made.features = {u.id: codec.features(u.read(codec.sample_rate)[0]) for u in dataset}
        return made
    if subject.kind == "decoded":
        for name, record in coded.records(runner, subject.records):
            wave, rate = audio.from_flac(record["decoded"])
            made.features[name] = reading.log_mel(audio.resample(wave, rate, 16000))
        return made
    return reading.from_codes(subject.name, coded.codes(runner, subject.records), coded.tables(coded.loaded(system)))
