"""One HTML page of all leaderboards: `python -m bench page`, which opens from a file and on any web server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import writing
from bench.metrics import Column
from bench.report import listening, page
from bench.report.summary import Summary, summaries
from bench.results import current, files
from bench.tasks import columns, listen, options


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m bench page`; returns the exit code."""
    made = options.Parser(prog="bench page", description="Write one HTML page of leaderboards, plots, comparisons and clips.")
    made.add_argument("path", nargs="?", type=Path, default=options.COMMITTED, help="folder of tables (default: results)")
    made.add_argument("--out", type=Path, default=options.RESULTS / "page.html", metavar="FILE", help="the page to write")
    made.add_argument("--codec", type=options.names, default=(), metavar="NAMES", help="codecs to hear (default: no clips)")
    made.add_argument("--data", default="", metavar="SOURCE", help="speech of the clips (default: embedded)")
    made.add_argument("--count", type=int, default=2, metavar="N", help="utterances to hear (default: 2)")
    asked = made.parse_args(argv)
    writing.check_file(asked.out, "name another file with --out")
    known: dict[str, Column] = {}
    found: list[Summary] = []
    for table in files.tables(asked.path):
        if "gate" in table.parts:
            continue
        rows = current.read(table)
        for line in rows.stale:
            print(line)
        if rows.parts:
            shown = columns.shown(rows.kinds)
            known |= shown
            found += summaries(rows.parts, shown)
    clips = _clips(asked.codec, asked.data, asked.count, known) if asked.codec else ""
    text = page.page("Speech codec bench: leaderboards", found, known, clips)
    writing.write_text(asked.out, text)
    print(f"wrote {asked.out} ({len(text.encode()) / 1e6:.1f} MB, {len(found)} tables)")
    return 0


def _clips(codecs: Sequence[str], source: str, count: int, known: Mapping[str, Column]) -> str:
    heard = listen.hear("resynthesis", codecs, source, count=count)
    return listening.embedded(heard.items, {name: known[name] for name in heard.columns if name in known})
