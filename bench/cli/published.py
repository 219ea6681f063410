"""`bench published PATH`: tells what it understood of a folder of originals and decoded files, then scores every system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.adapters.published import PREFIX
from bench.data import published
from bench.errors import DataMissing
from bench.report.text import clean
from bench.tasks import cards, options


def main(argv: Sequence[str]) -> int:
    """Exit 0: every system was scored (or, with --list, told); 1: nothing to score, or a system failed altogether."""
    made = options.parser(prog="bench published")
    made.description = "Score what systems made of originals, as a demo page lays them out."
    made.add_argument("path", type=Path, help="folder with originals (GT/, ref/ ...) and systems")
    made.add_argument("--list", action="store_true", help="tell what was understood, score nothing")
    parsed = made.parse_args(argv)
    path = parsed.path.expanduser()
    for line in published.described(path):
        print(clean(line), flush=True)
    found = published.pairs(path)
    if not found:
        raise DataMissing(f"published:{path}: no decoded file belongs to an original")
    if parsed.list:
        return 0
    systems = dict.fromkeys(pair.system for pair in found)
    parsed.data = (f"published:{path}",)
    places = published.systems(path)
    parsed.codec = (*(parsed.codec or ("identity",)), *(f"{PREFIX}{places[name]}" for name in systems))
    return int(cards.module(parsed.task).run(options.options(parsed)).code)
