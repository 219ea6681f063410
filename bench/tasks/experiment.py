"""A run described by one file: `bench run experiment.toml`. Its keys are the flags of `bench run`; flags beside it win.

The resolved form, in which nothing is left to defaults, is written beside the results: `<table>/experiments/NAME-DIGEST.toml`.
It runs as it is. Its table [resolved] says what the numbers came from. A run of it refuses other weights or other speech than
those, and tells of versions that differ. Paths are those of the command line: relative to the working directory.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import UNSET, Meta, UnsetType, structs

from bench import definitions, plugins, provenance, toml, writing
from bench.columns import TO_SOURCE
from bench.engine.machine import cores
from bench.engine.records import Keep
from bench.errors import BadCard, BenchError
from bench.store import default_path, key_of
from bench.tasks import options
from bench.tasks.options import NOT_OF, Options
from bench.toml import Record

if TYPE_CHECKING:
    from bench.engine.plan import Plan
    from bench.results.merge import Place

FOLDER = "experiments"
"""Name of the folder of a table that holds the resolved forms of its runs."""
Names = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1)]


class Resolved(Record, frozen=True):
    """What a run came from. speech, audio: sha256 of the list of utterances and of all of its files. weights: digest by
    codec. versions: of this program, Python, packages and definitions."""

    commit: str = ""
    speech: str = ""
    audio: str = ""
    weights: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}


class Experiment(Record, frozen=True):
    """The keys of the file: the flags of `bench run` by their names (codecs for --codec)."""

    task: str | UnsetType = UNSET
    codecs: Names | UnsetType = UNSET
    data: Names | UnsetType = UNSET
    profile: str | UnsetType = UNSET
    metrics: Names | UnsetType = UNSET
    protocol: str | UnsetType = UNSET
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(min_length=1)] | UnsetType = UNSET
    continuous: bool | UnsetType = UNSET
    weights: str | UnsetType = UNSET
    device: str | UnsetType = UNSET
    limit: Count | UnsetType = UNSET
    channels: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    executor: str | UnsetType = UNSET
    workers: Count | UnsetType = UNSET
    keep: Keep | UnsetType = UNSET
    store: str | UnsetType = UNSET
    results: str | UnsetType = UNSET
    plugins: Names | UnsetType = UNSET
    quiet: bool | UnsetType = UNSET
    resolved: Resolved | UnsetType = UNSET


_FLAGS = {"codecs": "codec"}
"""Keys that are called otherwise than their flags."""
_PATHS = ("store", "results")
_SURROUNDINGS = ("executor", "workers", "store", "results", "plugins")
"""Keys that say where a run takes place, not what it is: two that differ in them alone have one resolved form."""


def read(path: Path) -> Experiment:
    """The experiment that a file describes. Raises BadCard with the file, the key and the cure."""
    found = toml.read(path, Experiment)
    task = "resynthesis" if found.task is UNSET else found.task
    for key in NOT_OF.get(str(task), ()):
        if getattr(found, key) not in (UNSET, False):
            raise BadCard(f"{path}: key '{key}' is not read by the task {task}; leave it out")
    return found


def asked(argv: Sequence[str]) -> Options:
    """Options of `bench run [FILE] [flags]`. Raises BenchError."""
    made = options.parser(prog="bench run")
    made.add_argument("experiment", nargs="?", type=Path, metavar="FILE.toml", help="a file that describes the run")
    path = made.parse_args(argv).experiment
    if path is None:
        return options.options(made.parse_args(argv))
    found = read(path)
    given = {key: value for key, value in structs.asdict(found).items() if value is not UNSET}
    resolved = given.pop("resolved", None)
    plugins.use(given.pop("plugins", ()))
    made.set_defaults(**{_FLAGS.get(key, key): Path(value) if key in _PATHS else value for key, value in given.items()})
    return replace(options.options(made.parse_args(argv)), experiment=path, resolved=resolved)


def check(plan: Plan, wanted: Options, where: Place) -> None:
    """Compare what the file was made with and what is here. Raises BenchError for other weights or other speech; prints what
    versions differ."""
    made = wanted.resolved
    if made is None:
        return
    cure = "take its table [resolved] out to run with what is here"
    for name, digest in _weights(plan).items():
        if made.weights.get(name, digest) != digest:
            raise BenchError(
                f"{wanted.experiment}: the weights of {name} are {digest[:12]} here, the file was made with "
                f"{made.weights[name][:12]}; {cure}"
            )
    speech = ("list of utterances", made.speech, where.dataset_sha256), ("audio", made.audio, where.audio_sha256)
    for what, before, now in speech:
        if before not in ("", now):
            of = f"the {what} of {plan.dataset.name}"
            raise BenchError(f"{wanted.experiment}: {of} is {now[:12]} here, the file was made with {before[:12]}; {cure}")
    here = _versions(plan)
    other = [f"{name} {here[name]} (the file: {old})" for name, old in made.versions.items() if here.get(name, old) != old]
    if other:
        print(f"  versions that differ from those of {wanted.experiment}: {', '.join(other)}")


def write(plan: Plan, wanted: Options, where: Place) -> Path | None:
    """Write the resolved form of a run that a file describes beside its table; -> its path."""
    if wanted.experiment is None:
        return None
    import tomli_w

    asked = resolved(plan, wanted)
    what = key_of({key: value for key, value in asked.items() if key not in _SURROUNDINGS})
    path = where.folder() / FOLDER / f"{re.sub(r'-[0-9a-f]{8}$', '', wanted.experiment.stem)}-{what[:8]}.toml"
    facts = {
        "commit": provenance.git_commit(), "speech": where.dataset_sha256, "audio": where.audio_sha256,
        "weights": _weights(plan), "versions": _versions(plan),
    }  # fmt: skip
    head = f"# What {wanted.experiment.name} asked for, with every default filled in. It runs as it is: bench run {path.name}\n"
    writing.write_text(path, f"{head}{tomli_w.dumps(asked)}\n{tomli_w.dumps({'resolved': facts})}")
    return path


def resolved(plan: Plan, wanted: Options) -> dict[str, Any]:
    """The keys of a file that asks for exactly this run; what the task does not read, and what has no value, is left out."""
    kinds = {system.weights.kind for system in plan.systems} - {"none"}
    filled: dict[str, Any] = {
        "task": plan.task, "codecs": _codecs(plan, wanted.codecs), "data": wanted.data, "profile": plan.profile,
        "metrics": wanted.metrics or _columns(plan), "protocol": wanted.protocol, "seeds": wanted.seeds,
        "continuous": wanted.continuous, "weights": wanted.weights or (kinds.pop() if len(kinds) == 1 else None),
        "device": plan.device, "limit": wanted.limit, "channels": wanted.channels, "language": wanted.language,
        "executor": plan.executor, "workers": wanted.workers or cores(), "keep": plan.keep,
        "store": str(wanted.store or default_path()), "results": str(wanted.results),
        "plugins": [_shortest(path) for path in plugins.paths()],
    }  # fmt: skip
    unread = NOT_OF.get(plan.task, ())
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in filled.items()
        if key not in unread and value not in (None, "", (), [])
    }


def _shortest(path: Path) -> str:
    """A path below the working directory without it, so that the file does not name whose machine it was written on."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def _codecs(plan: Plan, asked: Iterable[str]) -> tuple[str, ...]:
    """The names asked for; in place of "all" and of none, the operating points that ran."""
    cards = [system.name for system in plan.systems if system.point.adapter not in ("published", "hf")]
    names = [one for name in (tuple(asked) or ("all",)) for one in (cards if name == "all" else [name])]
    return tuple(dict.fromkeys(names))


def _columns(plan: Plan) -> tuple[str, ...]:
    """The columns that a plan computes; those against a conversion's source by that name."""
    every = ((name, TO_SOURCE if some.against == "source" else "") for some in plan.comparisons for name in some.columns)
    return tuple(dict.fromkeys(name + end for name, end in every))


def _weights(plan: Plan) -> dict[str, str]:
    return {system.name: system.weights.digest for system in plan.systems if system.weights.kind != "none"}


def _versions(plan: Plan) -> dict[str, str]:
    packages = {name for system in plan.systems for name in system.point.packages}
    packages |= {name for metric in plan.metrics for name in metric.packages}
    found = [one for system in plan.systems for one in definitions.of_system(system.point)]
    found += [definitions.metric(metric) for metric in plan.metrics]
    return {
        "speech-codec-bench": provenance.package_version("speech-codec-bench"), "python": platform.python_version(),
        **provenance.package_versions(packages),
        **dict(sorted(definitions.versions(found).items())),
    }  # fmt: skip
