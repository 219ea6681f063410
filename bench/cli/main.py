"""The command line: `python -m bench {list,show,run,leaderboard,compare,listen,gate,doctor}`.

Nothing heavy is imported here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
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
    parsed = made.parse_args(argv)
    print(show.show(parsed.name, parsed.weights))
    return 0


def _run(argv: Sequence[str]) -> int:
    parsed = options.parser(prog="bench run").parse_args(argv)
    wanted = options.options(parsed)
    if wanted.task == "gate":
        raise BenchError("--task gate: the gate has a command of its own: bench gate (make gate)")
    return int(task_cards.module(wanted.task).run(wanted).code)


def _rows(path: str) -> list[Path]:
    """Rows files named by a folder, a file, or nothing (all of results/)."""
    base = Path(path) if path else options.RESULTS
    found = [base] if base.is_file() else sorted(base.rglob("rows.parquet"))
    if not found:
        raise BenchError(f"{base}: no rows.parquet there; run a task first: make bench")
    return found


def _leaderboard(argv: Sequence[str]) -> int:
    from bench.engine import rows
    from bench.report import leaderboard
    from bench.tasks import outcome

    made = options.Parser(prog="bench leaderboard", description="Print (and renew) leaderboards from rows.")
    made.add_argument("path", nargs="?", default="", help="folder or rows.parquet (default: all of results/)")
    made.add_argument("--write", action="store_true", help="write leaderboard.md and the plots beside the rows")
    parsed = made.parse_args(argv)
    for path in _rows(parsed.path):
        frame = rows.read(path)
        print(f"{path}")
        print(leaderboard.terminal(rows.split(frame)[0], outcome.shown(frame)))
        if parsed.write:
            for written in outcome.publish(frame, path.parent):
                print(f"wrote {written}")
    return 0


def _compare(argv: Sequence[str]) -> int:
    from bench.engine import rows
    from bench.report import compare
    from bench.tasks import outcome

    made = options.Parser(prog="bench compare", description="Paired comparison of two systems on the same utterances.")
    made.add_argument("a", help="family@point, with [weights] where several were run")
    made.add_argument("b")
    made.add_argument("--rows", default="", help="folder or rows.parquet (default: all of results/)")
    parsed = made.parse_args(argv)
    told = False
    for path in _rows(parsed.rows):
        frame = rows.read(path)
        present = set(frame["codec"].astype(str))
        wanted = {name.split(" ")[0].split("[")[0] for name in (parsed.a, parsed.b)}
        if wanted <= present:
            print(f"{path}")
            table = compare.compare(rows.split(frame)[0], parsed.a, parsed.b, outcome.columns())
            print(compare.terminal(table, outcome.columns()))
            told = True
    if not told:
        every = {str(name) for path in _rows(parsed.rows) for name in rows.read(path)["codec"].astype(str).unique()}
        missing = next((name for name in (parsed.a, parsed.b) if name.split("[")[0].strip() not in every), parsed.a)
        raise UnknownName("system in the rows", missing, every)
    return 0


def _gate(argv: Sequence[str]) -> int:
    from bench.tasks import gate

    return gate.main(argv)


def _listen(argv: Sequence[str]) -> int:
    from bench.tasks import listen

    return listen.main(argv)


def _doctor(argv: Sequence[str]) -> int:
    from bench.cli import doctor

    return doctor.main(argv)


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "list": (_list, "codecs, tasks, metrics and data sets"),
    "show": (_show, "every number of an operating point: show focalcodec@50"),
    "run": (_run, "run a task: run --codec opus@6,codec2@700 --data embedded"),
    "leaderboard": (_leaderboard, "tables and plots from rows"),
    "compare": (_compare, "paired difference of two systems, with intervals and verdicts"),
    "listen": (_listen, "a page with originals, decoded speech and scores, worst utterances first"),
    "gate": (_gate, "rerun the fixed benchmark and compare it with the committed baseline"),
    "doctor": (_doctor, "check the environment, weights, data and results"),
}


def usage() -> str:
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
