"""The command line: `python -m bench COMMAND`; COMMANDS below lists them.

Nothing heavy is imported here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench import __version__
from bench.errors import BenchError, UnknownName
from bench.guard import guarded
from bench.tasks import cards as task_cards
from bench.tasks import options


def _list(argv: Sequence[str]) -> int:
    from bench.cli import show

    made = options.Parser(prog="bench list", description="Codecs, tasks, metrics and data sets.")
    made.add_argument("what", nargs="?", default="codecs", help="codecs (default), tasks, metrics, data, all")
    listed = show.listing(made.parse_args(argv).what)
    print(listed)
    return 1 if listed.faults else 0


def _show(argv: Sequence[str]) -> int:
    from bench.cli import show

    made = options.Parser(prog="bench show", description="Everything known and derived of an operating point.")
    made.add_argument("name", help="family@point, a family, a metric or a task")
    made.add_argument("--weights", default=None, help="official, nano, random, or a path")
    made.add_argument("--measure", action="store_true", help="load the network: count its parameters and multiply-adds")
    parsed = made.parse_args(argv)
    print(show.show(parsed.name, parsed.weights, parsed.measure))
    return 0


def _run(argv: Sequence[str]) -> int:
    from bench.tasks import experiment

    wanted = experiment.asked(argv)
    if wanted.task == "gate":
        raise BenchError("--task gate: the gate has a command of its own: bench gate (make gate)")
    return int(task_cards.module(wanted.task).run(wanted).code)


def _published(argv: Sequence[str]) -> int:
    from bench.cli import published

    return published.main(argv)


def _leaderboard(argv: Sequence[str]) -> int:
    from bench.cli import leaderboard

    return leaderboard.main(argv)


def _compare(argv: Sequence[str]) -> int:
    from bench.cli import waves
    from bench.cli.leaderboard import tables
    from bench.columns import every_column
    from bench.report import compare, rate_distortion
    from bench.report.columns import family
    from bench.results import current, export
    from bench.stats.labels import find_system, system_labels

    made = options.Parser(prog="bench compare", description="Paired comparison of two systems on the same utterances.")
    made.add_argument("a", help="a system as the table calls it, its codec where that is one system only, or a family of rates")
    made.add_argument("b")
    made.add_argument("--rows", default="", help="folder of tables (default: one's own and this repository's)")
    made.add_argument("--format", default="text", help=", ".join(export.FORMATS))
    waves.flags(made)
    parsed = made.parse_args(argv)
    if parsed.waves:
        return waves.run(parsed)
    place = sys.stdout if export.check(parsed.format) == "text" else sys.stderr
    told, every = False, set()
    for table in tables(parsed.rows):
        rows = current.read(table)
        here = sorted(set(system_labels(rows.kinds)))
        every.update(here)
        rates = rate_distortion.compared(rows.parts, parsed.a, parsed.b, every_column())
        try:
            a, b = (find_system(here, name) for name in (parsed.a, parsed.b))
        except UnknownName:
            if not rates:
                continue
            print(f"{table}", file=place)
        else:
            print(f"{table}", file=place)
            print(export.comparison(compare.compare(rows.parts, a, b, every_column()), every_column(), parsed.format))
        if rates:
            print("\n".join([*rates, ""]), file=place)
        told = True
    if not told:
        asked, families = (parsed.a, parsed.b), {family(label) for label in every}
        for name in sorted(asked, key=lambda name: name in families):  # what is no family of these rows tells more
            if not families.issuperset(asked):
                find_system(sorted(every), name)
        of_each = " with two operating points or more of each" if families.issuperset(asked) else ""
        raise BenchError(f"{parsed.a} and {parsed.b} are in no table together{of_each}: run both on the same data")
    return 0


def _store(argv: Sequence[str]) -> int:
    from bench.store import Store

    made = options.Parser(prog="bench store", description="What is in the store, how large it is, and what no table needs.")
    made.add_argument("what", nargs="?", default="size", choices=("size", "verify", "prune"))
    made.add_argument("--dry-run", action="store_true", help="with prune: tell what would go, remove nothing")
    made.add_argument("--store", type=Path, default=None, metavar="FILE", help="the store (default: .bench/store.sqlite)")
    parsed = made.parse_args(argv)
    with Store(parsed.store) as store:
        if parsed.what == "verify":
            bad = store.verify()
            print(f"{store.path}: {len(store)} results, " + (f"{bad} damaged ones removed" if bad else "all of them good"))
            return 0
        stages = store.unneeded() if parsed.what == "prune" else store.stages()
        print(f"{store.path}" + (": needed by no table" if parsed.what == "prune" else ""))
        everything = tuple(map(sum, zip(*stages.values(), strict=True))) or (0, 0)
        for stage, (count, size) in {**stages, "in all": everything}.items():
            print(f"  {stage:<12}{count:>10} entries {size / 2**20:>10.1f} MiB")
        if parsed.what == "prune" and stages and not parsed.dry_run:
            store.prune()
            print("removed")
    return 0


def _gate(argv: Sequence[str]) -> int:
    from bench.tasks import gate

    return gate.main(argv)


def _listen(argv: Sequence[str]) -> int:
    from bench.tasks import listen

    return listen.main(argv)


def _merge(argv: Sequence[str]) -> int:
    from bench.engine import executors, shards
    from bench.store import Store

    made = options.Parser(prog="bench merge", description="Make the table of a run from what its jobs left in shards.")
    made.add_argument("shards", nargs="+", type=Path, metavar="SHARDS", help="files, or folders of them, in any order")
    made.add_argument("--store", type=Path, default=None, metavar="FILE", help="store of finished stages")
    made.add_argument("--results", type=Path, default=None, metavar="DIR", help="where rows, tables and plots go")
    parsed = made.parse_args(argv)
    with Store(parsed.store) as store:
        found = shards.absorb(shards.find(parsed.shards), store)
    for path in found.cut_off:
        print(f"{path}: its end is cut off; the whole records before it are used", file=sys.stderr)
    print(f"{found.entries} entries of the run {found.header.plan[:8]}")
    wanted = options.of_command(found.header.command)
    wanted = replace(wanted, store=parsed.store, executor=executors.STORED, failures=found.failures)
    if parsed.results is not None:
        wanted = replace(wanted, results=parsed.results)
    return int(task_cards.module(wanted.task).run(wanted).code)


def _new(argv: Sequence[str]) -> int:
    from bench.cli import new

    return new.main(argv)


def _page(argv: Sequence[str]) -> int:
    from bench.tasks import page

    return page.main(argv)


def _ratings(argv: Sequence[str]) -> int:
    from bench.tasks import ratings

    return ratings.main(argv)


def _certify(argv: Sequence[str]) -> int:
    from bench.certify import command

    return command.main(argv)


def _doctor(argv: Sequence[str]) -> int:
    from bench.cli import doctor

    return doctor.main(argv)


def _env(argv: Sequence[str]) -> int:
    from bench.cli import env

    return env.main(argv)


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "list": (_list, "codecs, tasks, metrics and data sets"),
    "show": (_show, "every number of an operating point: show focalcodec@50"),
    "run": (_run, "run a task: run --codec opus@6,codec2@700 --data embedded, or run experiment.toml"),
    "published": (_published, "score decoded audio beside its originals: published demo/"),
    "leaderboard": (_leaderboard, "tables and plots from rows"),
    "merge": (_merge, "take in what jobs on other machines left in shards, and make the table"),
    "store": (_store, "size of the store; store verify, store prune [--dry-run]"),
    "compare": (_compare, "paired difference of two systems; --waves: equal codes and SNR of two forms of one codec"),
    "listen": (_listen, "a page with originals, decoded speech and scores, worst utterances first"),
    "ratings": (_ratings, "answers of listening tests become rows of the leaderboard"),
    "page": (_page, "one HTML page of all leaderboards, plots, comparisons and clips"),
    "gate": (_gate, "rerun the fixed benchmark and compare it with the committed baseline"),
    "new": (_new, "write a codec of your own: new codec NAME"),
    "env": (_env, "make, list or remove the environments of codecs that need their own"),
    "certify": (_certify, "show that changed code computes what it did (--check: compare hashes only)"),
    "doctor": (_doctor, "check the environment, weights, data and results"),
}


def usage() -> str:
    """The commands, a line each."""
    lines = [f"speech codec bench {__version__}", "", "usage: python -m bench COMMAND [flags]", ""]
    lines += [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([*lines, "", "COMMAND --help tells the flags of each."])


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed or gate broken, 2 unknown name or flag."""
    return guarded(lambda: _main(list(sys.argv[1:] if argv is None else argv)))


def _main(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("--version", "-V"):
        print(__version__)
        return 0
    if argv[0] not in COMMANDS:
        raise UnknownName("command", argv[0], COMMANDS)
    return COMMANDS[argv[0]][0](argv[1:])
