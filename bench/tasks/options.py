"""The flags that every task shares, and where results go."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench import cards as codec_cards
from bench import plugins
from bench.cards import ROOT
from bench.engine import executors
from bench.engine.machine import cores
from bench.errors import BenchError, NoDevice, UnknownName
from bench.tasks import cards
from bench.tasks.papers import compared

if TYPE_CHECKING:
    from bench.engine.records import Keep
    from bench.tasks.experiment import Resolved

COMMITTED = ROOT / "results"
"""The tables of this repository; only `make results` writes there."""
RESULTS = Path(os.environ.get("BENCH_RESULTS", Path(".bench") / "results"))
"""Where a user's runs leave rows, tables and plots: beside the store, out of git's sight."""


@dataclass(frozen=True)
class Options:
    """What the user asked for. `weights` None means what the profile implies (nano where shipped, else official).

    experiment: the file that describes the run, where one does. resolved: what that file says of an earlier run.
    """

    task: str
    codecs: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    profile: str = "embedded"
    weights: str | None = None
    device: str = "auto"
    limit: int | None = None
    channels: str = "average"
    language: str = ""
    metrics: tuple[str, ...] = ()
    workers: int | None = None
    store: Path | None = None
    results: Path = RESULTS
    quiet: bool = False
    protocol: str | None = None
    seeds: tuple[int, ...] = ()
    continuous: bool = False
    executor: str = executors.DEFAULT
    keep: Keep = "audio"
    failures: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    experiment: Path | None = None
    resolved: Resolved | None = None

    @property
    def engine(self) -> dict[str, Any]:
        """The fields of a Plan that say where and how it runs."""
        return {
            "workers": self.workers or cores(), "executor": self.executor, "keep": self.keep,
            "window": executors.window(self.executor), "command": self.command,
        }  # fmt: skip


NOT_OF: Mapping[str, tuple[str, ...]] = {
    "resynthesis": ("protocol", "seeds", "continuous"), "vc": ("seeds", "continuous", "channels", "language"),
    "asr": ("metrics", "channels", "language"), "si": ("metrics", "channels", "language"),
    "ser": ("metrics", "channels", "language"),
    "streaming": ("protocol", "seeds", "continuous"), "robustness": ("protocol", "seeds", "continuous"),
    "synthesis": ("continuous", "channels", "language"),
    "enhancement": ("channels", "language"), "separation": ("channels", "language"),
}  # fmt: skip
"""Flags that a task does not read: given to it, they are refused."""


class _Plugins(argparse.Action):
    """Makes plug-ins known as soon as they are read, so that the flags after them may name their codecs."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        plugins.use(names(values))


class Parser(argparse.ArgumentParser):
    """argparse that names the nearest flag when one is unknown (exit 2, as for every unknown name), and takes plug-ins."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        told = "folders with cards and adapters of your own, or single cards, comma separated (BENCH_PLUGINS)"
        self.add_argument("--plugins", action=_Plugins, default=argparse.SUPPRESS, metavar="PATHS", help=told)

    def error(self, message: str) -> NoReturn:
        """Ends with exit code 2 and the nearest flag."""
        match = re.search(r"unrecognized arguments: (--?[\w-]+)", message)
        if match:
            flags = [flag for action in self._actions for flag in action.option_strings]
            message = str(UnknownName("flag", match.group(1), flags))
        super().error(message)


def names(text: str, between: str = r"[,\s]+") -> tuple[str, ...]:
    r"""`a,b c` -> (a, b, c). A comma or space that belongs to a name has a backslash before it: `published:/my\ clips`."""
    words = re.split(rf"(?<!\\){between}", text.strip())
    return tuple(re.sub(r"\\([,\s\\])", r"\1", word) for word in words if word)


def seeds(text: str) -> tuple[int, ...]:
    """`0,1,2` -> its numbers, each once. Raises ArgumentTypeError for what is no whole number from 0 on."""
    said = names(text)
    if not all(re.fullmatch(r"[0-9]{1,9}", one) for one in said):
        raise argparse.ArgumentTypeError(f"'{text}' holds something else than whole numbers from 0 on; write 0,1,2")
    return tuple(dict.fromkeys(map(int, said)))


def sources(text: str) -> tuple[str, ...]:
    r"""`embedded,folder:/my clips` -> its two sources. A comma that belongs to a path is written `\,`."""
    return names(text, between=",")


def parser(task: str | None = None, prog: str | None = None) -> Parser:
    """The parser of a task's command line; `--task` is a flag only where no task is fixed."""
    made = Parser(prog=prog, description="Run a benchmark task and print its leaderboard.")
    if task is None:
        made.add_argument("--task", default="resynthesis", help="task name (default: resynthesis)")
    made.add_argument("--codec", type=names, default=(), metavar="NAMES", help="family@point[,more], all, or paper:focalcodec")
    made.add_argument(
        "--data",
        type=sources,
        default=(),
        metavar="SOURCES",
        help="data set(s), comma separated: embedded, librispeech:PATH#test-clean, folder:PATH ...",
    )
    made.add_argument("--profile", default="embedded", help="embedded, paper, paper:focalcodec, paper:freecodec, paper:funcodec")
    made.add_argument("--weights", default=None, metavar="KIND|PATH", help="official, nano, random, or a file or folder")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    made.add_argument("--limit", type=int, default=None, metavar="N", help="at most N utterances, spread over speakers")
    made.add_argument("--channels", default="", metavar="CHOICE", help="of files with several: average, first, each")
    made.add_argument("--language", default="", metavar="NAME", help="of your own files, where no table says it: de, German")
    made.add_argument("--metrics", type=names, default=(), metavar="NAMES", help="columns in place of the profile's")
    where = os.environ.get("EXECUTOR") or executors.DEFAULT
    made.add_argument("--executor", default=where, metavar="NAME", help="where jobs run: processes, inline, ray, slurm")
    kept = ("audio", "codes", "scores")
    made.add_argument("--keep", default="audio", choices=kept, help="what the store keeps of coded speech (default: audio)")
    made.add_argument("--workers", type=int, default=None, metavar="N", help="worker processes (default: one per core)")
    made.add_argument(
        "--store",
        type=Path,
        default=None,
        metavar="FILE",
        help="store of finished stages (default: .bench/store.sqlite)",
    )
    made.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where rows, tables and plots go")
    made.add_argument("--protocol", default=None, help="of a probe or conversion: focalcodec, freecodec, dasb, embedded")
    made.add_argument("--seeds", type=seeds, default=(), help="seeds of a probe: 0,1,2")
    made.add_argument("--continuous", action="store_true", help="probe the codec's continuous features too")
    made.add_argument("--quiet", action="store_true", help="no leaderboard on the terminal")
    return made


def options(parsed: argparse.Namespace, task: str | None = None) -> Options:
    """argparse's namespace -> Options. Raises BenchError for what is unknown, or not of this task, before anything runs."""
    task = task or parsed.task
    _check_flags(task, parsed)
    _check_codecs(parsed.codec)
    _check_sources(parsed.data)
    _check_metrics(parsed.metrics)
    return Options(
        task=task, codecs=compared(parsed.codec), data=parsed.data,
        profile=parsed.profile,
        weights=parsed.weights, device=parsed.device, limit=parsed.limit,
        channels=parsed.channels or "average", language=parsed.language, metrics=parsed.metrics,
        workers=parsed.workers,
        store=parsed.store, results=parsed.results, quiet=parsed.quiet,
        protocol=parsed.protocol, seeds=parsed.seeds, continuous=parsed.continuous,
        executor=executors.check(parsed.executor), keep=parsed.keep, command=_words(task, parsed),
    )  # fmt: skip


_OF_THE_DRIVER = ("task", "store", "results", "executor", "quiet", "experiment")
"""Flags that say where a run takes place, not what it is."""


def _words(task: str, parsed: argparse.Namespace) -> tuple[str, ...]:
    """The command that asks for the same run: the task and its flags."""
    words = [task]
    for flag, value in vars(parsed).items():
        if flag in _OF_THE_DRIVER or not value:
            continue
        words.append(f"--{flag}")
        if isinstance(value, tuple):
            words.append(",".join(re.sub(r"([,\s\\])", r"\\\1", str(word)) for word in value))
        elif value is not True:
            words.append(str(value))
    return tuple(words)


def _check_flags(task: str, parsed: argparse.Namespace) -> None:
    cards.load(task)
    for flag in NOT_OF.get(task, ()):
        if getattr(parsed, flag):
            raise BenchError(f"--{flag} is no flag of the task {task}; leave it out ({flag.upper()}= of make)")
    if parsed.channels:
        from bench.data import channels

        channels.check(parsed.channels)
    if parsed.language:
        from bench import languages

        languages.code(parsed.language)
    for flag in ("limit", "workers"):
        if (value := getattr(parsed, flag)) is not None and value < 1:
            raise BenchError(f"--{flag} {value}: must be at least 1")


def _check_codecs(given: Sequence[str]) -> None:
    for before, name in pairwise(given):
        family = name.partition("@")[0].partition(":")[0]
        if "/" in before and family not in codec_cards.paths() and family not in ("all", "paper", "published"):
            cure = rf"a space or comma that belongs to a path has a backslash before it: {before}\ {name}"
            raise UnknownName("codec", name, codec_cards.paths(), cure)


def _check_sources(given: Sequence[str]) -> None:
    from bench import data

    before = ""
    for source in given:
        name = data.Source.parse(source).name
        if "/" in before and name not in data.targets() and name.removesuffix(data.NOISY) not in data.targets():
            text = ",".join(given)
            raise BenchError(rf"--data {text}: '{source}' is no data set; a comma that belongs to a path is written '\,'")
        data.module(name.removesuffix(data.NOISY))
        before = source


def _check_metrics(wanted: Sequence[str]) -> None:
    if wanted:
        from bench import metrics
        from bench.columns import every_column

        known = {*every_column(), *metrics.names()}
        for name in wanted:
            if name not in known:
                metrics.find(name)


def parse(task: str, argv: Sequence[str] | None) -> Options:
    """Options of `python -m bench.tasks.<task>`."""
    return options(parser(task, prog=f"python -m bench.tasks.{task}").parse_args(argv), task)


def of_command(words: Sequence[str]) -> Options:
    """Options of a run by the words of its command, as a shard tells them: `resynthesis --codec ...`."""
    return parse(words[0], words[1:])


def device(wanted: str, flag: str = "--device ", cure: str = "use --device cpu, or auto for what is here") -> str:
    """`auto` -> cuda when there is one. Only asks torch where a driver is visible: CPU runs start without it.

    flag, cure: how a device that is not here is told. Raises UnknownName for a name that is no device, NoDevice for a device
    that is not on this machine.
    """
    if wanted == "cpu":
        return wanted
    if wanted != "auto" and not re.fullmatch(r"cuda(:\d+)?", wanted):
        raise UnknownName("device", wanted, ("auto", "cpu", "cuda", "cuda:0", "cuda:1"))
    count = _cuda_devices(wanted, flag)
    if wanted == "auto":
        return "cuda" if count else "cpu"
    if int(wanted.partition(":")[2] or 0) >= count:
        there = "no CUDA device" if not count else f"{count} CUDA device(s), cuda:0 to cuda:{count - 1}"
        raise NoDevice(f"{flag}{wanted}: this machine has {there}; {cure}")
    return wanted


def _cuda_devices(wanted: str, flag: str) -> int:
    if not any(Path(path).exists() for path in ("/dev/nvidia0", "/dev/dxg")):
        return 0
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count()
    if wanted != "auto":
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a build for CPUs"
        raise NoDevice(
            f"{flag}{wanted}: an NVIDIA card is here, but torch cannot use it: its driver is too old, or taken away from "
            f"this process, or torch is of another kind (this torch {built}); renew the driver or install the torch that fits it"
        )
    return 0
