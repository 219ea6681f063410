"""`bench leaderboard`: the tables of rows, whole, by groups of speech, or by bands of the bit rate, in several formats."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import writing
from bench.errors import BenchError, UnknownName
from bench.tasks import options

if TYPE_CHECKING:
    from bench.metrics import Column
    from bench.report.bands import Band
    from bench.results.current import Rows
    from bench.speech import Dataset

EVERY = "every"
"""`--band` without a value: the winners of every band."""


def tables(path: str) -> list[Path]:
    """Folders of tables at or below a path; without one, all of one's own results and of those of this repository."""
    from bench.results import files

    bases = [Path(path)] if path else list(dict.fromkeys((options.RESULTS, options.COMMITTED)))
    found = [table for base in bases for table in files.tables(base)]
    if not found:
        raise BenchError(f"{' or '.join(map(str, bases))}: no table of rows there; run a task first: make bench")
    return found


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit code."""
    from bench.report import bands
    from bench.results import current, export, publish
    from bench.tasks import columns

    made = options.Parser(prog="bench leaderboard", description="Print (and renew) leaderboards from rows.")
    made.add_argument("path", nargs="?", default="", help="folder of tables (default: one's own and this repository's)")
    made.add_argument("--write", action="store_true", help="write leaderboard.md and the plots beside the rows")
    made.add_argument("--format", default="text", help=", ".join((*export.FORMATS, *export.HUB_FORMATS)))
    made.add_argument("--codec", type=options.names, default=(), metavar="NAMES", help="only these codecs: opus@6, focalcodec")
    made.add_argument("--band", nargs="?", const=EVERY, default="", metavar="LOW-HIGH",
                      help="only codecs of these kbit/s; without a value, the best of every band")  # fmt: skip
    made.add_argument("--by", default="", metavar="KIND", help="by groups: speaker, gender, accent, language, duration, level")
    made.add_argument("--data", default="", metavar="SOURCE", help="with --by: where the speech lies, if not where its name says")
    parsed = made.parse_args(argv)
    band = bands.parse(parsed.band) if parsed.band not in ("", EVERY) else None
    if parsed.write and (parsed.by or parsed.band or parsed.codec):
        raise BenchError("--write renews whole tables: leave out --by, --band and --codec")
    if parsed.band == EVERY and parsed.format in export.HUB_FORMATS:
        raise BenchError(f"--format {parsed.format} tells every score of a system: leave out --band, or give it LOW-HIGH")
    if parsed.by:
        return _by_groups(parsed.path, parsed.by, parsed.data)
    told = sys.stdout if export.check(parsed.format, (*export.FORMATS, *export.HUB_FORMATS)) == "text" else sys.stderr
    every = tables(parsed.path)
    for table in every if parsed.write else ():
        writing.check_folder(table, "name a folder of tables that can be written")
    seen: set[str] = set()
    gathered: list[Rows] = []
    known: dict[str, Column] = {}
    for table in every:
        rows = current.read(table)
        shown = columns.shown(rows.kinds)
        if parsed.write:
            print(f"{table}", file=told)
            text, written = publish.publish(rows, table, shown, plot=columns.plot(rows.kinds))
            print(text if parsed.format == "text" else export.leaderboard(rows, shown, parsed.format))
            for path in written:
                print(f"wrote {path}", file=told)
            continue
        seen.update(rows.kinds["codec"])
        rows = _chosen(rows, shown, parsed.codec, band)
        if rows.empty:
            continue
        print(f"{table}", file=told)
        if parsed.format in export.HUB_FORMATS:
            gathered.append(rows)
            known |= shown
        elif parsed.band == EVERY:
            print(export.bands(rows, shown, parsed.format))
        else:
            print(export.leaderboard(rows, shown, parsed.format))
    _check_named(parsed.codec, seen)
    if gathered:
        print(export.hub_form(gathered, known, parsed.format), end="")
    return 0


def _chosen(rows: Rows, shown: Mapping[str, Column], codecs: Sequence[str], band: Band | None) -> Rows:
    """Rows of the named codecs or families, and of those whose measured rate lies in a band."""
    from bench.report import bands
    from bench.report.columns import family
    from bench.report.summary import summaries

    if codecs:
        rows = rows.of_codecs(lambda codec: codec in codecs or family(codec) in codecs)
    if band is None or rows.empty:
        return rows
    kept = {system for summary in summaries(rows.parts, shown) for system in bands.within(summary, band)}
    return rows.of_systems(kept)


def _check_named(codecs: Sequence[str], seen: set[str]) -> None:
    from bench.report.columns import family

    known = seen | set(map(family, seen))
    for name in codecs:
        if name not in known:
            raise UnknownName("codec in these tables", name, known)


def _by_groups(path: str, by: str, source: str) -> int:
    from bench.report import slices
    from bench.results import merge, publish
    from bench.results.schema import split
    from bench.tasks import columns

    needs = slices.needs_speech(by)
    for table in tables(path):
        rows = split(merge.read(table, [*publish.FIELDS, "language"])[0])[0]
        if rows.empty:
            continue
        speech = _speech(source or str(rows["dataset"].iloc[0]), by, said=bool(source)) if needs else None
        print(f"{table}")
        print(slices.terminal(list(slices.slices(rows, columns.shown(rows), slices.membership(rows, by, speech))), by))
    return 0


def _speech(source: str, by: str, *, said: bool) -> Dataset:
    from bench import data

    try:
        return data.load(source)
    except BenchError as error:
        if said:
            raise
        cure = f"--data {source.partition('#')[0]}:PATH says where it lies"
        raise BenchError(f"--by {by} reads what is known of the speech: {cure} ({error})") from error
