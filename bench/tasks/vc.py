"""Voice conversion: what the source says in the voice of the target. `python -m bench.tasks.vc`.

Every trial is scored against the target's recording and, in columns named "to source", against the source. Rows of
reference: the target's own recording (reference@target), the source unconverted (reference@source), another speaker
(reference@impostor), and for each codec its ceiling: the target's recording through the codec.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import adapters, audio
from bench.adapters import published
from bench.coding.codec import Converts
from bench.columns import ENGINE, TO_SOURCE
from bench.engine import producers
from bench.engine import systems as known
from bench.engine.plan import Comparison, Line, Plan
from bench.engine.producers.conversion import Conversion
from bench.engine.producers.resynthesis import Resynthesis
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.errors import UnknownName
from bench.guard import guarded
from bench.results import facts as row_facts
from bench.results import rows as row_files
from bench.results import schema, upkeep
from bench.stats.labels import CEILING, REFERENCE
from bench.store import Store
from bench.tasks import cards, loadable, options, outcome, trials
from bench.tasks.options import Options
from bench.tasks.trials import IMPOSTOR, SOURCE, TARGET, Trials

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_CODECS = ("focalcodec@50", "freecodec@v3", "freqcodec@4")
CONVERTED = "converted"
RECORDINGS = (TARGET, SOURCE, IMPOSTOR)


def run(wanted: Options) -> outcome.Outcome:
    """Run the protocol on every data set asked for; rows and leaderboard of each are written and told."""
    card = cards.load("vc")
    profile = wanted.profile.split(":")[0]
    protocol = wanted.protocol or ("freecodec" if wanted.profile == "paper:freecodec" else "focalcodec")
    results = outcome.Outcome()
    for source in sources(protocol, profile, wanted.data):
        listed = listed_trials(source, protocol)
        names = wanted.codecs or default_codecs(source)
        plan_of = card.settings["protocols"]["focalcodec" if listed.parallel else "freecodec"]
        columns = _columns(plan_of[profile], wanted.metrics)
        asked = replace(wanted, codecs=tuple(names), data=(source,), protocol=protocol)
        results.add(_run(listed, columns, asked))
    return results


def sources(protocol: str, profile: str, asked: Sequence[str]) -> Sequence[str]:
    """The data sets asked for, else the protocol's own under `profile` (embedded, paper). Raises UnknownName."""
    card = cards.load("vc")
    if protocol not in card.settings["protocols"]:
        raise UnknownName("conversion protocol", protocol, card.settings["protocols"])
    return asked or (card.settings["data"][protocol][profile],)


def listed_trials(source: str, protocol: str) -> Trials:
    """The trials that `source` gives under `protocol`, by the durations of its files."""
    return trials.make(source, protocol, _seconds)


def default_codecs(source: str) -> tuple[str, ...]:
    """A few codecs; of a folder of published conversions, all of its systems."""
    if not source.startswith(published.PREFIX):
        return DEFAULT_CODECS
    folder = Path(source.removeprefix(published.PREFIX).partition("#")[0]).expanduser()
    base = folder / "vc" if (folder / "vc").is_dir() else folder
    kept = sorted(path for path in base.iterdir() if path.is_dir() and path.name not in ("source", "target"))
    return tuple(f"{published.PREFIX}{path}" for path in kept)


def _columns(of_protocol: Mapping[str, Sequence[str]], asked: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Reference (target, source) -> columns scored against it."""
    chosen = {side: tuple(of_protocol[side]) for side in (TARGET, SOURCE)}
    if not asked:
        return chosen
    against_source = tuple(c.removesuffix(TO_SOURCE) for c in asked if c.endswith(TO_SOURCE))
    return {TARGET: tuple(c for c in asked if not c.endswith(TO_SOURCE)), SOURCE: against_source}


def _run(listed: Trials, columns: Mapping[str, tuple[str, ...]], wanted: Options) -> outcome.Outcome:
    device = options.device(wanted.device)
    profile = "embedded" if wanted.profile == "embedded" else "paper"
    found, left_out = loadable.able(_systems(wanted.codecs, profile, wanted.weights, device))
    systems = tuple(found)
    dataset = listed.dataset.limit(wanted.limit)
    comparisons = tuple(Comparison(columns[side], against=side) for side in (TARGET, SOURCE) if columns[side])
    plan = Plan(
        "vc",
        systems,
        dataset,
        (),
        profile=wanted.profile,
        device=device,
        **wanted.engine,
        lines=(*references(), *conversions(systems), *ceilings(systems)),
        comparisons=comparisons,
    )
    outcome.announce(plan, wanted.results)
    with Store(wanted.store) as store:
        where = outcome.checked_place(plan, wanted, store)
        upkeep.inspect(where.folder())
        runner = Runner(plan, store, failures=wanted.failures)
        runner.run()
        rows = _told(row_files.frame(plan, store, runner.failures), systems, columns)
        row_files.note_needs(plan, store, where.folder())
    made = outcome.finish(rows, where, plan, wanted)
    return replace(made, code=1) if left_out else made


def references() -> tuple[Line, ...]:
    """Recordings as they are: the target's own, the source, and somebody else's."""
    identity = known.system("identity")
    return tuple(Line(identity, Resynthesis(role=REFERENCE, heard=name), name) for name in RECORDINGS)


def conversions(systems: Sequence[System]) -> tuple[Line, ...]:
    """Each system converts; published audio was converted by somebody else."""
    return tuple(
        Line(system, replace(producers.usual(system), role=CONVERTED) if _published(system) else Conversion(role=CONVERTED))
        for system in systems
    )


def ceilings(systems: Sequence[System]) -> tuple[Line, ...]:
    """The target's own recording through each codec: no conversion by it can be nearer."""
    return tuple(Line(system, Resynthesis(role=CEILING, heard=TARGET)) for system in systems if not _published(system))


def _published(system: System) -> bool:
    return system.point.adapter == "published"


def _systems(names: Sequence[str], profile: str, want: str | None, device: str) -> list[System]:
    """Those asked for by name; of "all" those that can convert."""
    named = [name for name in names if name != "all"]
    systems = known.systems(named, profile=profile, want=want, device=device) if named else []
    if "all" in names:
        found = known.systems(["all"], profile=profile, want=want, device=device)
        there = {system.label for system in systems}
        systems += [system for system in found if _converts(system) and system.label not in there]
    return systems


def _converts(system: System) -> bool:
    """Whether the card tells of two codebooks to take apart, or the adapter has a class that converts."""
    books = sum(len(stream.sizes) for stream in system.point.streams if stream.rate_hz)
    if system.point.kind == "neural" and books > 1:
        return True
    classes = (item for item in vars(adapters.module(system.point.adapter)).values() if isinstance(item, type))
    # The protocol itself has the method; it converts nothing.
    return any(hasattr(item, "convert") for item in classes if item is not Converts)


def _told(rows: pd.DataFrame, systems: Sequence[System], columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The rows that say something: the columns that were asked for, and of measured bits none, since a conversion sends
    none. The card's bit rate stands on one row per trial, so that conversion and ceiling stand side by side."""
    wanted = {*columns[TARGET], *(name + TO_SOURCE for name in columns[SOURCE])}
    column = rows["column"].astype(str)
    told = column.isin(list(ENGINE)) & ~column.str.startswith("bitrate_")
    kept = rows[column.isin(list(wanted)) | (told & (rows["role"].astype(str) != REFERENCE))]
    nominal = [_nominal(kept, system) for system in systems]
    return schema.joined([kept, *(part for part in nominal if len(part))])


def _nominal(rows: pd.DataFrame, system: System) -> pd.DataFrame:
    if system.point.bitrate_kbps is None:
        return rows.iloc[:0]
    own = rows[rows["system_key"].astype(str) == system.key].drop_duplicates(["role", "variant", "utterance"])
    about = row_facts.engine_facts() | {"failure": None, "detail": None}
    nominal = {"column": "bitrate_nominal", "value": system.point.bitrate_kbps, "num": None, "den": None, "against": ""}
    return own.assign(**about, **nominal)


def _seconds(path: Path) -> float:
    return audio.header(path).seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("vc", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
