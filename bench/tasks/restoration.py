"""What enhancement and separation share: codes of mixtures and of the clean speech in them, heads over seeds, their rows.

Every table has rows of reference: the clean recording, the noisy or mixed one, and for each codec its ceiling (the clean
recording through it) and the line "untreated" (the noisy or mixed one through it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import definitions
from bench.coding import codec as coding
from bench.coding.codec import HasFeatures
from bench.coding.codes import Codes
from bench.data.two_voices import VOICES
from bench.engine import executors
from bench.engine import systems as known
from bench.engine.plan import ALWAYS, ORIGINAL, Comparison, Line, Plan
from bench.engine.producers import Producer
from bench.engine.producers.resynthesis import Resynthesis
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.errors import BenchError
from bench.probes.restoration import jobs, pairs
from bench.probes.restoration.jobs import Job
from bench.probes.restoration.pairs import Pairs
from bench.probes.restoration.settings import Settings, settings
from bench.results import rows as row_files
from bench.results import upkeep
from bench.stats.labels import CEILING, REFERENCE, UNTREATED, called
from bench.store import Store, key_of
from bench.tasks import cards, coded, encoded, mixtures, options, outcome, probe, restored_rows, trainings
from bench.tasks.encoded import EachVoice, Encoded, Predicted, PredictedVoices
from bench.tasks.mixtures import CLEAN, Material
from bench.tasks.options import Options
from bench.tasks.probe import VARIANTS
from bench.tasks.restored_rows import Restored

DEFAULT_CODECS = ("focalcodec@50", "freqcodec@1")


@dataclass(frozen=True)
class Task:
    """name: of the task. role: of its rows. mixed: how the mixture's row of reference is called."""

    name: str
    role: str
    mixed: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the waves: one, or the two voices."""
        return VOICES if self.name == "separation" else ("",)

    def through_codec(self, role: str, heard: str) -> Producer:
        """The clean recordings (heard "clean") or what is heard (""), through the codec."""
        if self.name == "separation":
            return EachVoice(role=role, heard=VOICES if heard else ("", ""))
        return Resynthesis(role=role, heard=heard)

    def predicted(self, path: Path, key: str) -> Producer:
        """The waves of predicted tokens."""
        kind = PredictedVoices if self.name == "separation" else Predicted
        return kind(role=self.role, path=str(path), key=key)

    def comparisons(self, columns: tuple[str, ...]) -> tuple[Comparison, ...]:
        """Each wave against its own clean recording."""
        if self.name == "separation":
            return tuple(Comparison(columns, against=voice, output=voice) for voice in VOICES)
        return (Comparison(columns, against=ORIGINAL, always=ALWAYS),)


ENHANCEMENT = Task("enhancement", "enhanced", "noisy")
SEPARATION = Task("separation", "separated", "mixture")


def run(task: Task, wanted: Options) -> outcome.Outcome:
    """Train and test heads of every system on every data set asked for; rows and table of each are written and told."""
    card = cards.load(task.name)
    profile = wanted.profile.split(":")[0]
    run_on = options.device(wanted.device)
    usual = card.settings["protocol"].get(profile, "focalcodec")
    protocol = wanted.protocol or usual
    chosen, seeds = settings(protocol), wanted.seeds or tuple(card.settings["seeds"])
    systems = known.systems(_sending_tokens(wanted.codecs or DEFAULT_CODECS), profile=profile, want=wanted.weights, device=run_on)
    able, left_out = coded.able(systems, lambda system: _check_system(task, system, wanted.continuous))
    systems = [system for system, _ in able]
    columns = wanted.metrics or tuple(card.settings["columns"][profile])
    results = outcome.Outcome(code=int(bool(left_out)))
    for source in wanted.data or (card.data[profile],):
        if wanted.limit is not None:
            raise BenchError(f"LIMIT does not fit TASK={task.name}: a head trained on part of its data has another meaning")
        material = mixtures.make(task.name, source, card.settings)
        suffix = "" if protocol == usual else f"-{protocol}"
        asked = replace(wanted, data=(source,), protocol=protocol, seeds=seeds)
        results.add(_run(task, systems, material, columns, chosen, suffix, asked, run_on))
    return results


def _run(
    task: Task, systems: Sequence[System], material: Material, columns: tuple[str, ...], chosen: Settings,
    suffix: str, wanted: Options, run_on: str,
) -> outcome.Outcome:  # fmt: skip
    heard = tuple(Line(system, Encoded()) for system in systems)
    clean = () if material.singles else tuple(Line(system, Encoded(heard=name)) for system in systems for name in material.clean)
    plan = Plan(
        task.name, tuple(systems), material.dataset, (), profile=wanted.profile, device=run_on, always=(), lines=(*heard, *clean),
        length=cards.profile(wanted.profile).protocol.length, **wanted.engine,
    )  # fmt: skip
    outcome.announce(plan, wanted.results)
    parts = f"{len(material.train)} mixtures train, {len(material.valid)} validate, {len(material.test)} are tested"
    print(f"  protocol {chosen.protocol}, seeds {', '.join(map(str, wanted.seeds))}; {parts}", flush=True)
    with Store(wanted.store) as store:
        scored = replace(plan, dataset=material.tested, comparisons=task.comparisons(columns))
        place = outcome.checked_place(scored, wanted, store, suffix)
        upkeep.inspect(place.folder())
        coder = Runner(plan, store)
        coder.run()
        cleaner = coder
        if material.singles:
            cleaner = Runner(replace(plan, dataset=material.singles[0], lines=heard), store)
            cleaner.run()
        able, left_out = coded.able(systems, lambda system: _keys(coder, cleaner, system, material))
        restored = [
            one for system, keys in able for one in _heads(coder, system, keys, material, chosen, wanted.seeds, wanted.continuous)
        ]
        scored = replace(scored, lines=tuple(_lines(task, [system for system, _ in able], restored)))
        runner = Runner(scored, store, failures=wanted.failures)
        runner.run()
        rows = restored_rows.apart(row_files.frame(scored, store, runner.failures), scored.dataset)
        row_files.note_needs(scored, store, place.folder())
        for one in restored:
            store.need(
                f"{place.folder().resolve()}#{called(one.system.name, task.role, one.variant)}#head {one.job.key[:8]}",
                [one.job.key],
            )
    found = outcome.finish(restored_rows.told(rows, restored, task.role, chosen), place, scored, wanted)
    return replace(found, code=1) if left_out else found


def _sending_tokens(names: Sequence[str]) -> list[str]:
    """`all` means every codec here whose card tells of tokens."""
    if "all" not in names:
        return list(names)
    every = (system.name for system in known.systems(["all"]) if system.point.kind == "neural" and _token_streams(system))
    return [*(name for name in names if name != "all"), *every]


def _token_streams(system: System) -> bool:
    return any(stream.sizes and 0 < stream.rate_hz <= probe.FASTEST_HZ for stream in system.point.streams)


def _check_system(task: Task, system: System, with_features: bool) -> None:
    """Raises BenchError for a codec without tokens, or without the features asked for, before everything is coded.

    A second of faint noise is tried.
    """
    if system.point.adapter != "published":
        codec = coded.loaded(system)
        [codes] = coding.encode(codec, [np.random.default_rng(0).normal(0, 0.01, codec.sample_rate).astype(np.float32)])
        if probe.readable(codes):
            if with_features and not isinstance(codec, HasFeatures):
                raise BenchError(f"{system.name} has no continuous features; leave out --continuous for it")
            return
    raise BenchError(
        f"{system.name} sends no tokens that a network could predict; TASK={task.name} needs a codec of tokens, "
        "such as focalcodec@50"
    )


def _lines(task: Task, systems: Sequence[System], restored: Sequence[Restored]) -> Iterator[Line]:
    identity = known.system("identity")
    yield Line(identity, task.through_codec(REFERENCE, CLEAN), "clean")
    yield Line(identity, task.through_codec(REFERENCE, ""), task.mixed)
    for system in systems:
        yield Line(system, task.through_codec(CEILING, CLEAN))
        yield Line(system, task.through_codec(UNTREATED, ""))
    for one in restored:
        yield Line(one.system, task.predicted(one.path, one.job.key), restored_rows.seeded(one.variant, one.seed))


def _keys(runner: Runner, cleaner: Runner, system: System, material: Material) -> list[dict[str, str]]:
    """Keys of the codes of what is heard, and of each clean voice. Raises BenchError where one could not be coded.

    cleaner: who coded the clean recordings.
    """
    mine = (line for line in runner.plan.lines if line.system.key == system.key)
    lines = {line.producer.heard: line for line in mine if isinstance(line.producer, Encoded)}
    everything = material.dataset.utterances
    heard = coded.keys(runner, lines[""], everything)
    if not material.singles:
        return [heard, *(coded.keys(runner, lines[name], everything) for name in material.clean)]
    singles, of = material.singles
    once = coded.keys(cleaner, lines[""], singles.utterances)
    return [heard, {u.id: once[of[u.id]] for u in everything}]


def _heads(
    runner: Runner, system: System, keys: Sequence[Mapping[str, str]], material: Material, chosen: Settings,
    seeds: Sequence[int], with_features: bool,
) -> Iterator[Restored]:  # fmt: skip
    """Trained heads of one system on its tokens and, where asked for, on its continuous features, with what they predict.

    keys: see `_keys`.
    """
    store, plan = runner.store, runner.plan
    codec = coded.loaded(system)
    folder = executors.shared(plan.executor, store) / "restoration"
    heard_and_clean = [key for some in keys for key in dict.fromkeys(some.values())]
    about = ("restoration", heard_and_clean, material.sha256, chosen.asdict(), definitions.get("restoration").identity)
    kind = plan.device.split(":")[0]
    with trainings.scratch(plan, store) as scratch:
        found: list[tuple[str, Job]] = []
        for variant in ("", *((VARIANTS["features"],) if with_features else ())):
            for seed in seeds:
                key = key_of(*about, f" ({variant})" if variant else "", seed, kind, system.key)
                path = scratch / f"{variant or 'tokens'}.npz"
                lists = (material.train, material.valid, material.test)
                found.append((variant, Job(path, *lists, chosen, seed, folder, key, plan.device)))
        results = store.get_many([job.key for _, job in found])
        due = [(variant, job) for variant, job in found if job.key not in results]
        needed = [some if due else {name: some[name] for name in material.test} for some in keys]
        codes, *of_clean = (coded.codes(runner, some) for some in needed)
        said = {u: [some[u] for some in of_clean] for u in codes}
        made: dict[str, Pairs] = {}
        if due:
            made[""] = pairs.from_codes(system.name, codes, said, coded.tables(codec))
        for variant, job in due:
            if variant not in made:
                assert isinstance(codec, HasFeatures)
                features = {u.id: codec.features(u.read(codec.sample_rate)[0]) for u in plan.dataset}
                made[variant] = pairs.continuous(made[""], features, called(system.name, variant=variant))
            if not job.pairs.is_file():
                made[variant].save(job.pairs)
        results |= probe.run_jobs([job for _, job in due], plan, store, jobs) if due else {}
    for variant, job in found:
        told = results[job.key]
        predicted = {u: [pairs.replaced(codes[u], source) for source in told["tokens"][u]] for u in material.test}
        path = folder / f"{job.key}.npz"
        if not path.is_file():
            names = VOICES if len(material.clean) > 1 else ("",)
            encoded.save(path, {
                f"{u}/{output}": one for u, some in predicted.items() for output, one in zip(names, some, strict=True)
            })  # fmt: skip
        wrong = {name: count for u, some in predicted.items() for name, count in _wrong(u, some, said[u])}
        heard_wrong = {name: count for u in predicted for name, count in _wrong(u, [codes[u]] * len(said[u]), said[u])}
        yield Restored(variant, system, job.seed, job, told, path.resolve(), wrong, heard_wrong)


def _wrong(utterance: str, predicted: Sequence[Codes], said: Sequence[Codes]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Utterance as rows call it, and (tokens that are not those of its clean recording, all tokens)."""
    for output, one, clean in zip(VOICES if len(said) > 1 else ("",), predicted, said, strict=True):
        pairs_of = list(zip(one.tokens, clean.tokens, strict=True))
        wrong = sum(int(np.sum(mine.indices != due.indices)) for mine, due in pairs_of)
        yield restored_rows.called(utterance, output), (wrong, sum(due.indices.size for _, due in pairs_of))
