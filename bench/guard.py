"""Errors at the command line: one line that names the fault and the cure, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.errors import BenchError, UnknownName


def guarded(work: Callable[[], int]) -> int:
    """Run `work`; a user's error becomes one line and exit code 2 (unknown name) or 1."""
    try:
        return work()
    except UnknownName as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what is finished is kept: the same command goes on from here", file=sys.stderr)
        return 130
