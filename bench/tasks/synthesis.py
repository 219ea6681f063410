"""Synthesis: text to speech over each codec's tokens. `python -m bench.tasks.synthesis`.

A decoder is trained for every codec and seed on tokens and speaker vectors; it then reads the test texts, each in the voice of
the utterance's own recording, and the codec makes waves of what it writes. Rows of reference: the recordings, and for each
codec its ceiling, the recordings through the codec.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench import audio, data
from bench.columns import ENGINE, SYNTHESIS
from bench.engine import systems as known
from bench.engine.plan import Comparison, Line, Plan
from bench.engine.producers.resynthesis import Resynthesis
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.errors import BenchError
from bench.guard import guarded
from bench.probes.division import Division
from bench.probes.synthesis.settings import Settings, settings
from bench.results import rows as row_files
from bench.results import upkeep
from bench.speech import BY_HEART, WHAT_CONDITIONS_MEAN, Dataset, Utterance
from bench.stats.labels import CEILING, REFERENCE
from bench.store import Store, key_of
from bench.tasks import cards, loadable, options, outcome, speaking_rows, speaking_training
from bench.tasks.options import Options
from bench.tasks.speaking import Spoken, check_text

DEFAULT_CODECS = ("focalcodec@50",)
TARGET = "target"
STARTS = {"train": "train", "valid": "dev", "test": "test"}
"""Part of a division -> how the names of its subsets begin."""


def run(wanted: Options) -> outcome.Outcome:
    """Train and speak with every system on every data set asked for; rows and leaderboard of each are written and told."""
    card = cards.load("synthesis")
    profile = wanted.profile.split(":")[0]
    run_on = options.device(wanted.device)
    usual = card.settings["protocol"].get(profile, "focalcodec")
    protocol = wanted.protocol or usual
    chosen = settings(protocol)
    columns = wanted.metrics or tuple(card.settings["columns"][profile])
    systems, left_out = loadable.systems(wanted.codecs or DEFAULT_CODECS, profile=profile, want=wanted.weights, device=run_on)
    if lost := [system.name for system in systems if system.point.adapter == "published"]:
        raise BenchError(f"{lost[0]}: audio that was decoded elsewhere has no tokens to write; name a codec that runs here")
    results = outcome.Outcome(code=int(bool(left_out)))
    for source in wanted.data or (card.data[profile],):
        dataset, division = divided(data.load(source), data.Source.parse(source).name, card)
        needed = dataset.select([u for u in dataset if u.id in division.ids])
        plan = Plan("synthesis", tuple(systems), needed, (), profile=wanted.profile, device=run_on, always=(), **wanted.engine)
        suffix = "" if protocol == usual else f"-{protocol}"
        seeds = wanted.seeds or tuple(card.settings["seeds"])
        asked = replace(wanted, data=(source,), protocol=protocol, seeds=seeds)
        results.add(_run(plan, division, chosen, columns, suffix, asked))
    return results


def _run(
    plan: Plan, division: Division, chosen: Settings, columns: Sequence[str], suffix: str, wanted: Options
) -> outcome.Outcome:
    outcome.announce(plan, wanted.results)
    print(
        f"  protocol {chosen.protocol}, seeds {', '.join(map(str, wanted.seeds))}, {len(division.train)} training utterances",
        flush=True,
    )
    if plan.dataset.condition == BY_HEART:
        print(f"  {WHAT_CONDITIONS_MEAN[BY_HEART]}")
    with Store(wanted.store) as store:
        spoken = plan.dataset.select([_spoken(u) for u in plan.dataset if u.id in set(division.test)]).limit(wanted.limit)
        against = tuple(c for c in columns if c not in {*ENGINE, *SYNTHESIS})
        speaking = replace(plan, dataset=spoken, comparisons=(Comparison(against, against=TARGET),))
        where = outcome.checked_place(speaking, wanted, store, suffix)
        upkeep.inspect(where.folder())
        runner = Runner(plan, store)
        runner.run()
        able, left_out = speaking_training.able(runner, division)
        trained = speaking_training.train(runner, able, division, chosen, wanted.seeds)
        lines = (_recordings(), *_lines(trained, chosen, plan.device), *_ceilings([line.system for line, _ in able]))
        speaking = replace(speaking, lines=lines)
        second = Runner(speaking, store)
        second.run()
        rows = row_files.frame(speaking, store, second.failures)
        rows = speaking_rows.over_seeds(rows, trained, [u.id for u in spoken])
        row_files.note_needs(speaking, store, where.folder())
        for one in trained:
            store.need(f"{where.folder().resolve()}#{one.system.name}#decoder {one.job.key[:8]}", [one.job.key])
    found = outcome.finish(rows, where, speaking, wanted)
    return replace(found, code=1) if left_out else found


def divided(dataset: Dataset, name: str, card: cards.TaskCard) -> tuple[Dataset, Division]:
    """The part of the data that takes part, and its division: by the set's own subsets, or a few sentences by heart.

    Raises BenchError where a part is empty, an utterance has no text, or its text cannot be read.
    """
    if name in card.settings["subsets"]:
        longest = card.settings["longest_s"]
        parts = {part: [u for u in dataset if _belongs(u, part, longest)] for part in STARTS}
        for part, some in parts.items():
            if not some:
                raise BenchError(
                    f"{dataset.name}: no utterance for the {part} part; synthesis needs train-, dev- and test- subsets: "
                    "librispeech#train-clean-100+dev-clean+test-clean"
                )
    else:
        few = list(dataset.limit(min(len(dataset), card.settings["overfit"])))
        parts = dict.fromkeys(("train", "valid", "test"), few)
        dataset = replace(dataset, condition=BY_HEART)
    for u in {u.id: u for some in parts.values() for u in some}.values():
        check_text(u)
    ids = {part: tuple(u.id for u in some) for part, some in parts.items()}
    texts = {u.id: str(u.text) for some in parts.values() for u in some}
    return dataset, Division("", ids["train"], ids["valid"], ids["test"], texts, (), key_of("synthesis division", ids, texts))


def _belongs(u: Utterance, part: str, longest_s: Mapping[str, float]) -> bool:
    if not str(u.extra.get("subset", "")).startswith(STARTS[part]):
        return False
    return audio.header(u.recording()).seconds <= longest_s["test" if part == "test" else "train"]


def _spoken(u: Utterance) -> Utterance:
    """What is to be said, without its audio: the recording is what scores refer to, and tells the voice."""
    recording = u.reference_path()
    return replace(u, path=None, reference=None, mix=None, enrolment=(recording,), recordings={TARGET: recording}, aligned=False)


def _recordings() -> Line:
    return Line(known.system("identity"), Resynthesis(role=REFERENCE, heard=TARGET), "recording")


def _lines(trained: Sequence[speaking_training.Trained], chosen: Settings, device: str) -> list[Line]:
    """One line for each decoder; those of one system share their name, and their rows become one."""
    return [
        Line(one.system, Spoken(
            weights=str(one.job.weights), weights_key=key_of(one.job.key, one.result["state_sha256"]), seed=one.seed,
            settings=chosen, device=device, nominal_kbps=one.system.point.bitrate_kbps,
        ))
        for one in trained
    ]  # fmt: skip


def _ceilings(systems: Sequence[System]) -> list[Line]:
    return [Line(one, Resynthesis(role=CEILING, heard=TARGET)) for one in systems]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("synthesis", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
