"""Name the files of rows under results/ whose small weights no longer ship, a line each.

    python tools/old_rows.py focalcodec [RESULTS]

tools/renew.sh deletes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.cards import all_points
from bench.fetch.weights import resolve
from bench.results.files import paths, tables

RESULTS = Path(__file__).resolve().parents[1] / "results"


def old_rows(family: str, results: Path = RESULTS) -> list[Path]:
    """Files of rows of the family's points with weights of kind nano, of another digest than those that ship."""
    points = [point for point in all_points() if point.card.family == family and "nano" in point.weights]
    ships = {point.name: resolve(point, "nano").digest[:8] for point in points}
    named = [path for table in tables(results) if table.relative_to(results).parts[0] != "partial" for path in paths(table)]
    return sorted(
        path for path in named for point, digest in ships.items()
        if path.name.startswith(f"{point}-nano-") and not path.name.startswith(f"{point}-nano-{digest}")
    )  # fmt: skip


if __name__ == "__main__":
    for path in old_rows(sys.argv[1], *map(Path, sys.argv[2:])):
        print(path)
