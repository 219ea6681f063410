"""The systems of a run, less those that cannot load the weights that they were given: these are told before anything is coded."""

from __future__ import annotations

from collections.abc import Sequence

from bench.engine import systems as known
from bench.engine.systems import System
from bench.errors import BenchError
from bench.tasks import coded


def systems(
    names: Sequence[str], *, profile: str = "embedded", want: str | None = None, device: str = "cpu"
) -> tuple[list[System], list[str]]:
    """The systems of these names that can run; why the others are left out, which is told.

    want: kind of weights, or the path of a file or folder. Raises UnknownName, BenchError, and where none can run the first
    one's error.
    """
    return able(known.systems(names, profile=profile, want=want, device=device))


def able(found: Sequence[System]) -> tuple[list[System], list[str]]:
    """Those of `found` that can load weights of a path; see `coded.able`."""
    passed, left_out = coded.able(found, check_weights)
    return [system for system, _ in passed], left_out


def check_weights(system: System) -> None:
    """Raises BenchError where the weights of a path are not this codec's, or damaged: they are loaded once.

    A package or memory that is missing is a failure of the codec's utterances, as with any weights.
    """
    if system.weights.kind == "path":
        try:
            coded.loaded(system)
        except BenchError:
            raise
        except Exception:
            return
