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
from typing import TYPE_CHECKING, Any

from bench import adapters
from bench.adapters import published
from bench.codec import Converts
from bench.engine import plan as planning
from bench.engine import rows as row_files
from bench.engine.plan import Plan, System
from bench.engine.rows import ENGINE_COLUMNS
from bench.engine.runner import Runner
from bench.errors import UnknownName
from bench.guard import guarded
from bench.speech import Dataset, Utterance
from bench.store import Store
from bench.tasks import cards, options, outcome, trials
from bench.tasks.columns import TO_SOURCE
from bench.tasks.options import Options
from bench.tasks.trials import Trial, Trials

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_CODECS = ("focalcodec@50", "freecodec@v3", "freqcodec@4")
CONVERTED, CEILING = "converted", "ceiling"
REFERENCES = ("target", "source", "impostor")
TARGET, SOURCE = "target", "source"
_MARK = "|"


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
        results.add(_run(listed, names, columns, wanted))
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


def _run(listed: Trials, names: Sequence[str], columns: Mapping[str, tuple[str, ...]], wanted: Options) -> outcome.Outcome:
    device = options.device(wanted.device)
    profile = "embedded" if wanted.profile == "embedded" else "paper"
    systems = _systems(names, profile, wanted.weights, device)
    dataset = listed.dataset.limit(wanted.limit)
    chosen = [listed.trials[u.id] for u in dataset]
    everything = tuple(dict.fromkeys((*columns[TARGET], *columns[SOURCE])))
    plan = Plan(
        "vc", tuple(systems), dataset, everything, profile=wanted.profile, device=device, always=(),
        workers=wanted.workers or planning.cores(),
    )
    outcome.announce(plan)
    live = [system for system in systems if system.point.adapter != "published"]
    dead = [system for system in systems if system.point.adapter == "published"]
    jobs: list[tuple[tuple[System, ...], tuple[str, ...]]] = [
        ((planning.system("identity"),), REFERENCES), (tuple(live), (CONVERTED, CEILING)), (tuple(dead), (CONVERTED,)),
    ]  # fmt: skip
    frames = []
    with Store(wanted.store) as store:
        for some, roles in jobs:
            if not some:
                continue
            expanded = replace(dataset, utterances=_expanded(chosen, roles))
            part = replace(plan, systems=some, dataset=expanded)
            runner = Runner(part, store)
            runner.run()
            frames.append(_told(row_files.frame(part, store, runner.failures), dataset, columns))
            frames += [_nominal(frames[-1], system) for system in some if CONVERTED in roles]
    return outcome.finish(_joined(frames), outcome.folder_of(wanted.results, "vc", dataset), wanted)


def _systems(names: Sequence[str], profile: str, want: str | None, device: str) -> list[System]:
    """Those asked for by name; of "all" those that can convert."""
    named = [name for name in names if name != "all"]
    systems = planning.systems(named, profile=profile, want=want, device=device) if named else []
    if "all" in names:
        found = planning.systems(["all"], profile=profile, want=want, device=device)
        known = {system.label for system in systems}
        systems += [system for system in found if _converts(system) and system.label not in known]
    return systems


def _converts(system: System) -> bool:
    """Whether the card tells of two codebooks to take apart, or the adapter has a class that converts."""
    books = sum(len(stream.sizes) for stream in system.point.streams if stream.rate_hz)
    if system.point.kind == "neural" and books > 1:
        return True
    classes = (item for item in vars(adapters.module(system.point.adapter)).values() if isinstance(item, type))
    # The protocol itself has the method; it converts nothing.
    return any(hasattr(item, "convert") for item in classes if item is not Converts)


def _expanded(chosen: Sequence[Trial], roles: Sequence[str]) -> tuple[Utterance, ...]:
    """Every trial in every role, against the target's recording and against the source; one coding serves both."""
    made = []
    for trial in chosen:
        for role in roles:
            heard = {
                CONVERTED: trial.source.path, CEILING: trial.target, TARGET: trial.target, SOURCE: trial.source.path,
            }.get(role, trial.impostor)  # fmt: skip
            if heard is None:
                continue
            for side, reference in ((TARGET, trial.target), (SOURCE, trial.source.path)):
                enrolment = (trial.enrolment,) if role == CONVERTED else ()
                utterance = trial.utterance(heard, reference, enrolment)
                # A ceiling or a reference may be as long as its reference by chance: never cut it.
                name = _MARK.join((trial.id, role, side))
                made.append(replace(utterance, id=name, aligned=False, extra={"output": trial.id}))
    return tuple(made)


def _told(rows: pd.DataFrame, dataset: Dataset, columns: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Rows of expanded trials as rows of trials: the role becomes the system's name, the reference the column's."""
    import pandas as pd

    keys = rows["utterance"].astype(str).str.rsplit(_MARK, n=2, expand=True)
    rows = rows.assign(utterance=keys[0], codec=rows["codec"].astype(str), column=rows["column"].astype(str))
    rows["dataset_sha256"] = dataset.sha256
    role, to_source = keys[1], keys[2] == SOURCE
    is_reference = role.isin(REFERENCES)
    rows.loc[is_reference, "codec"] = "reference@" + role[is_reference]
    rows.loc[role == CEILING, "codec"] += " (ceiling)"
    engine = rows["column"].isin(list(ENGINE_COLUMNS))
    wanted = rows["column"].isin(columns[TARGET]) & ~to_source | rows["column"].isin(columns[SOURCE]) & to_source
    # Of a conversion no bits are measured, and those of a reference's PCM say nothing.
    told = engine & ~rows["column"].str.startswith("bitrate_")
    kept = rows[wanted | (told & ~to_source & ~is_reference)].copy()
    renamed = to_source.loc[kept.index] & kept["column"].isin(columns[TARGET])
    kept.loc[renamed, "column"] += TO_SOURCE
    return pd.DataFrame(kept)


def _nominal(rows: pd.DataFrame, system: System) -> pd.DataFrame:
    """The card's bit rate of `system` on one row per trial, so that conversion and ceiling stand side by side."""
    if system.point.bitrate_kbps is None:
        return rows.iloc[:0]
    own = rows[rows["system_key"].astype(str) == system.key].drop_duplicates(["codec", "utterance"])
    about = row_files.engine_facts() | {"failure": None, "detail": None}
    nominal = {"column": "bitrate_nominal", "value": system.point.bitrate_kbps, "num": None, "den": None}
    return own.assign(**about, **nominal)


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    joined = pd.concat([frame.astype(dict.fromkeys(frame.select_dtypes("category").columns, object)) for frame in frames])
    records: list[dict[str, Any]] = [
        {str(key): (None if pd.isna(value) else value) for key, value in record.items()}
        for record in joined.to_dict("records")
    ]
    return row_files.typed(records)


def _seconds(path: Path) -> float:
    import soundfile

    return float(soundfile.info(path).duration)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("vc", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
