"""`bench doctor`: is this environment able to run the bench? Each fault comes with its cure.

`--results` checks rows instead, `--gpu` what a GPU computes (see `bench.cli.gpu`)."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from bench import cards, extras, provenance, store
from bench.errors import BenchError
from bench.presence import HERE, presence
from bench.tasks import cards as task_cards
from bench.tasks import options

if TYPE_CHECKING:
    from packaging.requirements import Requirement

COMPILED = ("torch", "torchaudio", "pesq", "soundfile", "soxr", "onnxruntime", "moonshine_cpp", "visqol", "pyworld", "av",
            "pycodec2", "ai_edge_litert", "safetensors", "pyarrow", "resemblyzer")  # fmt: skip
"""What is imported where it is installed: compiled parts are what breaks."""
CURES = {
    "torchaudio": "its compiled part needs CUDA: run tools/install.sh, which sets it aside",
    "resemblyzer": "pip install --no-deps resemblyzer==0.1.4 'setuptools<81' (tools/install.sh does)",
    "pyworld": "pip install 'setuptools<81' (pkg_resources is gone after)",
}
INSTALL = "run tools/install.sh"


@dataclass(frozen=True)
class Finding:
    """One check: `state` is ok, warn or bad; `cure` says what to do."""

    state: str
    what: str
    cure: str = ""


def environment() -> Iterator[Finding]:
    """Python, packages, devices, disk."""
    spelt = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "ok" if sys.version_info >= (3, 11) else "bad",
        f"python {spelt}",
        "use Python 3.11: PYTHON=python3.11 make install",
    )
    yield from packages()
    yield from _devices()
    place = store.default_path().parent
    free = shutil.disk_usage(place if place.exists() else Path.cwd()).free / 2**30
    yield Finding("ok" if free > 5 else "warn", f"{free:.0f} GiB free for the store", "BENCH_STORE=/other/disk/store.sqlite")
    if importlib.util.find_spec("av") is not None:
        yield _codecs_of_av()


def packages() -> Iterator[Finding]:
    """Whether what is declared is installed, at versions that were declared, and can be imported."""
    faults = 0
    for requirement in _required():
        name, wanted = requirement.name, str(requirement.specifier)
        try:
            found = version(name)
        except PackageNotFoundError:
            faults += 1
            yield Finding("bad", f"package {name}{wanted} is not installed", INSTALL)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            faults += 1
            yield Finding("bad", f"package {name} is {found}; {wanted} is declared", INSTALL)
    for name in COMPILED:
        try:
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
        except Exception as error:  # any failure to import is what is being asked
            faults += 1
            yield Finding("bad", f"import {name}: {type(error).__name__}: {str(error)[:120]}", CURES.get(name, INSTALL))
    if not faults:
        yield Finding("ok", f"{len(_required())} declared packages, torch {provenance.package_version('torch')}")
    lost = {extra: names for extra in extras.offered() if (names := extras.absent(extras.offered()[extra])) and extra != "dev"}
    if lost:
        told = "; ".join(f"{extra} ({', '.join(names)})" for extra, names in lost.items())
        yield Finding("warn", f"extras that are not installed: {told}", f"pip install '{extras.NAME}[{next(iter(lost))}]'")


def _required() -> list[Requirement]:
    """What the project declares, extras apart."""
    from packaging.requirements import Requirement

    try:
        declared = requires("speech-codec-bench") or []
    except PackageNotFoundError:  # a checkout that nobody installed
        declared = tomllib.loads((cards.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    parsed = [Requirement(text) for text in declared]
    return [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]


def _devices() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    yield Finding("ok", f"cpu: {provenance.cpu_name()}, {cores} cores")
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        yield Finding("ok", f"cuda: {torch.cuda.get_device_name()}; Moonshine (dWER) runs on the CPU all the same")
        if "CUDAExecutionProvider" not in importlib.import_module("onnxruntime").get_available_providers():
            cure = "pip install onnxruntime-gpu in its place"
            yield Finding("warn", "onnxruntime has no CUDA provider: DNSMOS runs on the CPU", cure)
    elif Path("/dev/nvidia0").exists():
        yield Finding("warn", "an NVIDIA device is here but this torch cannot use it", "install the CUDA build of torch 2.13.0")


def _codecs_of_av() -> Finding:
    import av

    wanted = ("libopus", "libopencore_amrnb", "g722", "libmp3lame")
    lost = [name for name in wanted if name not in av.codecs_available]
    return Finding(
        "bad" if lost else "ok",
        f"av {av.__version__} with {', '.join(n for n in wanted if n not in lost)}",
        f"this build of av lacks {', '.join(lost)}: pip install --force-reinstall av",
    )


def assets() -> Iterator[Finding]:
    """Cards, and which codecs, weights and data are on this machine."""
    found, faults = cards.readable()
    tasks, broken = task_cards.readable()
    if not found:
        yield Finding("bad", f"no cards of codecs in {cards.CODECS}", "run in a checkout, or set BENCH_CODECS to its codecs/")
    for fault in (*faults, *broken):
        yield Finding("bad", str(fault), "correct the card")
    states: dict[str, Counter[str]] = {}
    for point in (point for card in found for point in card.points.values()):
        states.setdefault(presence(point).state, Counter())[point.family] += 1
    for state, families in sorted(states.items(), key=lambda item: item[0] != HERE):
        named = ", ".join(f"{family} ({count})" if count > 1 else family for family, count in families.items())
        cure = "" if state == HERE else "`bench list` tells of each what it needs"
        yield Finding("ok" if state == HERE else "warn", f"{families.total()} operating points, {state}: {named}", cure)
    yield Finding("ok", f"{len(tasks)} tasks: {', '.join(card.task for card in tasks)}")
    from bench import data
    from bench.data import places

    for source in places.local():
        try:
            if source != "embedded":  # to list a large set takes longer than all of this
                yield Finding("ok", f"data {source}")
                continue
            here = data.load(source)
            yield Finding("ok", f"data {source}: {len(here)} utterances, {len(here.speakers)} speakers")
        except BenchError as error:
            yield Finding("bad" if source == "embedded" else "warn", f"data {source}: {error}", "DATA=name:PATH")


def results(base: Path) -> Iterator[Finding]:
    """Alarms of validity over every rows file."""
    from bench import validity
    from bench.results import files, schema

    for path in files.tables(base):
        alarms = validity.alarms(schema.split(files.read(path))[0])
        yield Finding("warn" if len(alarms) else "ok", f"{path}: {len(alarms)} alarms", "look at the utterances named below")
        for alarm in alarms.head(20).to_dict("records"):
            yield Finding("warn", "  " + ", ".join(f"{key} {value}" for key, value in alarm.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the findings; 1 when something is bad."""
    made = options.Parser(prog="bench doctor", description="Check the environment, weights, data and results.")
    made.add_argument("--results", nargs="?", const="", default=None, help="check rows for alarms (default folder: results/)")
    made.add_argument("--gpu", action="store_true", help="compare a GPU with the CPU and write results/gpu/<card>.md")
    parsed = made.parse_args(argv)
    if parsed.gpu:
        from bench.cli import gpu

        return gpu.run()
    checks: list[Callable[[], Iterator[Finding]]] = [environment, assets]
    if parsed.results is not None:
        checks = [lambda: results(Path(parsed.results) if parsed.results else options.RESULTS)]
    bad = 0
    for check in checks:
        for finding in check():
            bad += finding.state == "bad"
            print(
                f"[{finding.state:^4}] {finding.what}"
                + (f"\n       cure: {finding.cure}" if finding.state != "ok" and finding.cure else "")
            )
    return 1 if bad else 0
