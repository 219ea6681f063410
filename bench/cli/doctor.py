"""`bench doctor`: is this environment able to run the bench? Each fault comes with its cure.

`--results` checks rows instead."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import cards, provenance, store, weights
from bench.errors import BenchError
from bench.tasks import options

IMPORTS = (
    "torch", "torchaudio", "transformers", "speechbrain", "pesq", "pystoi", "pandas", "matplotlib", "jiwer",
    "resemblyzer",
    "soundfile", "soxr", "librosa", "onnxruntime", "distillmos", "moonshine_cpp", "visqol", "pyworld", "swift_f0", "av",
    "pycodec2", "ai_edge_litert", "accelerate", "safetensors", "huggingface_hub", "pyarrow",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One check: `state` is ok, warn or bad; `cure` says what to do."""

    state: str
    what: str
    cure: str = ""


def environment() -> Iterator[Finding]:
    """Python, packages, devices, disk."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "ok" if sys.version_info >= (3, 11) else "bad",
        f"python {version}",
        "use Python 3.11: PYTHON=python3.11 make install",
    )
    cures = {
        "torchaudio": "its compiled part needs CUDA: run tools/install.sh, which sets it aside",
        "resemblyzer": "pip install --no-deps resemblyzer==0.1.4 'setuptools<81' (tools/install.sh does)",
        "pyworld": "pip install 'setuptools<81' (pkg_resources is gone after)",
    }
    for name in IMPORTS:
        try:
            importlib.import_module(name)
        except Exception as error:  # any failure to import is what is being asked
            yield Finding(
                "bad", f"import {name}: {type(error).__name__}: {str(error)[:120]}", cures.get(name, "tools/install.sh")
            )
    missing = [n for n in IMPORTS if provenance.package_version(n.replace("_", "-")) == "absent"]
    yield Finding(
        "ok", f"{len(IMPORTS) - len(missing)} packages found by name, torch {provenance.package_version('torch')}"
    )
    yield from _devices()
    free = (
        shutil.disk_usage(store.default_path().parent if store.default_path().parent.exists() else Path.cwd()).free
        / 2**30
    )
    yield Finding(
        "ok" if free > 5 else "warn", f"{free:.0f} GiB free for the store", "BENCH_STORE=/other/disk/store.sqlite"
    )
    yield _codecs_of_av()


def _devices() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0))
    yield Finding("ok", f"cpu: {provenance.cpu_name()}, {cores} cores")
    if torch.cuda.is_available():
        yield Finding("ok", f"cuda: {torch.cuda.get_device_name()}")
    elif Path("/dev/nvidia0").exists():
        yield Finding(
            "warn", "an NVIDIA device is here but this torch cannot use it", "install the CUDA build of torch 2.13.0"
        )


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
    """Which weights and data are on this machine."""
    for point in cards.all_points():
        if not point.needs_weights:
            continue
        kinds = [kind for kind in point.weights if weights.available(point, kind)]
        cure = "network once, or WEIGHTS=PATH; `bench show` tells the files"
        yield Finding("ok" if kinds else "warn", f"{point.name}: weights {', '.join(kinds) or 'not here'}", cure)
    from bench import data
    from bench.data import places

    for source in places.local():
        try:
            found = data.load(source)
            yield Finding("ok", f"data {source}: {len(found)} utterances, {len(found.speakers)} speakers")
        except BenchError as error:
            yield Finding("warn", f"data {source}: {error}", "DATA=name:PATH")


def results(base: Path) -> Iterator[Finding]:
    """Alarms of validity over every rows file."""
    from bench import validity
    from bench.engine import rows

    for path in sorted(base.rglob("rows.parquet")):
        alarms = validity.alarms(rows.split(rows.read(path))[0])
        yield Finding(
            "warn" if len(alarms) else "ok", f"{path}: {len(alarms)} alarms", "look at the utterances named below"
        )
        for alarm in alarms.head(20).to_dict("records"):
            yield Finding("warn", "  " + ", ".join(f"{key} {value}" for key, value in alarm.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the findings; 1 when something is bad."""
    made = options.Parser(prog="bench doctor", description="Check the environment, weights, data and results.")
    made.add_argument(
        "--results", nargs="?", const="", default=None, help="check rows for alarms (default folder: results/)"
    )
    parsed = made.parse_args(argv)
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
