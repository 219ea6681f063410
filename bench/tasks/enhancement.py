"""Speech enhancement: a network takes the noise out of a codec's tokens. `python -m bench.tasks.enhancement`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.guard import guarded
from bench.tasks import options, outcome, restoration
from bench.tasks.options import Options


def run(wanted: Options) -> outcome.Outcome:
    """Train and test heads of every system asked for."""
    return restoration.run(restoration.ENHANCEMENT, wanted)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("enhancement", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
