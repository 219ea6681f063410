"""Speech separation: a network takes two voices apart in a codec's tokens. `python -m bench.tasks.separation`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.guard import guarded
from bench.tasks import options, outcome, restoration
from bench.tasks.options import Options


def run(wanted: Options) -> outcome.Outcome:
    """Train and test heads of every system asked for."""
    return restoration.run(restoration.SEPARATION, wanted)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("separation", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
