"""`bench env`: environments of codecs whose packages do not go together with the bench's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import cards, environments
from bench.errors import BenchError
from bench.tasks import options


def main(argv: Sequence[str]) -> int:
    """make, list or remove."""
    made = options.Parser(prog="bench env", description="Environments of codecs that need a Python of their own.")
    made.add_argument("what", choices=("make", "list", "remove"), help="make, list or remove")
    made.add_argument("codec", nargs="*", help="families, or operating points")
    made.add_argument("--again", action="store_true", help="make it anew")
    made.add_argument("--checkout", type=Path, metavar="FOLDER", help="a clone of the package that the card fetches with git")
    parsed = made.parse_args(argv)
    if parsed.what == "list":
        for family in sorted(cards.paths()):
            point = next(iter(cards.load(family).points.values()))
            if point.needs_environment:
                print(f"{family:<20} {'is here' if environments.here(point) else 'is not here'}")
        return 0
    if not parsed.codec:
        raise BenchError(f"bench env {parsed.what}: name a codec; bench env list tells which have environments of their own")
    names = dict.fromkeys(name.partition("@")[0] for name in parsed.codec)
    if parsed.checkout is not None and len(names) > 1:
        raise BenchError("bench env make --checkout FOLDER: name one codec, the one whose code the folder holds")
    for name in names:
        point = next(iter(cards.load(name).points.values()))
        if parsed.what == "make":
            environments.make(point, again=parsed.again, checkout=parsed.checkout)
        else:
            print(f"{environments.folder(point)}: {'removed' if environments.remove(point) else 'was not there'}")
    return 0
