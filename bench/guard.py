"""Errors at the command line: one line that names the fault and the cure, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable

from bench.errors import BenchError, NoDevice, UnknownName

_SURROUNDINGS = {
    errno.ENOSPC: "make room, or name another place (README: environment variables)",
    errno.EDQUOT: "make room, or name another place (README: environment variables)",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that you may write",
}
"""Faults of the machine, no errors of the program: errno -> cure."""

_SILENT = ("pkg_resources is deprecated",)
"""Warnings by packages about themselves, which tell a user nothing."""


def guarded(work: Callable[[], int]) -> int:
    """Run `work`; a user's error becomes one line and exit code 2 (unknown name, no such device) or 1."""
    _hush()
    try:
        code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except (NoDevice, UnknownName) as error:
        return _fail(str(error), 2)
    except BenchError as error:
        return _fail(str(error), 1)
    except ModuleNotFoundError as error:
        from bench import extras

        if not error.name or error.name.split(".")[0] == "bench":
            raise
        return _fail(f"the package {error.name} is not installed: {extras.cure(error.name.split('.')[0])}", 1)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. What is still buffered must not be written when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + 13
    except OSError as error:
        if error.errno not in _SURROUNDINGS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}; {_SURROUNDINGS[error.errno]}", 1)
    except KeyboardInterrupt:
        print("stopped; what is finished is kept: the same command goes on from here", file=sys.stderr)
        return 130


def _fail(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr)
    return code


def _hush() -> None:
    """Silence those warnings here and in worker processes, which read PYTHONWARNINGS."""
    # Of a checkpoint that does not fit it prints a line for each tensor; the adapters tell of it in one.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for start in _SILENT:
        warnings.filterwarnings("ignore", message=start)
        told = os.environ.get("PYTHONWARNINGS", "")
        if start not in told:
            os.environ["PYTHONWARNINGS"] = ",".join(part for part in (told, f"ignore:{start}") if part)
