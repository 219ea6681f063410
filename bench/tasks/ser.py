"""Emotion probe: how it is felt: a BiLSTM on codec tokens tells the emotion. `python -m bench.tasks.ser`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.guard import guarded
from bench.tasks import options, outcome, probe
from bench.tasks.options import Options


def run(wanted: Options) -> outcome.Outcome:
    """Train and test the probe on every system asked for."""
    return probe.run("ser", wanted)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("ser", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
