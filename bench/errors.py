"""Errors a user can act on: each message names the file or key at fault and the cure."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class BenchError(Exception):
    """Base of every error that is shown to the user as one message, without a traceback."""


class UnknownName(BenchError):
    """A name (codec, task, metric, key, data set) that nothing answers to; names the nearest ones."""

    def __init__(self, what: str, name: str, known: Iterable[str], cure: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:8]
        more = f" Or: {cure}" if cure else ""
        super().__init__(f"unknown {what} '{name}'. Did you mean: {', '.join(near) or '(none known)'}?{more}")
        self.name, self.near = name, near


class NoDevice(BenchError):
    """A device that was asked for and is not on this machine."""


class BadCard(BenchError):
    """A card (TOML) with a missing, misspelt or ill-typed key."""


class BadAudio(BenchError):
    """Audio that cannot be used: unreadable, empty, not finite, wrong rate or shape."""


class BadCodes(BenchError):
    """Codes that do not fit their declaration, or bytes that are not codes."""

    kind = "bad_codes"


class BadCodec(BenchError):
    """A codec that breaks the contract of `bench.coding.codec.Codec`: its attributes, or what it returns."""

    kind = "bad_codec"


class DataMissing(BenchError):
    """A data set that is not on this machine and could not be fetched."""


class WeightsMissing(BenchError):
    """Weights that are not on this machine and could not be fetched."""


class WeightsInvalid(BenchError):
    """Weights that are there but not the right ones: hash, missing or misshapen tensors."""


def in_words(error: BaseException) -> str:
    """The type of `error` and what it says, for any error: also one of somebody else's that cannot be turned into text."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__}: (the error's own text could not be made)"


def is_interrupt(error: BaseException) -> bool:
    """Whether `error` is the user's Ctrl-C. Workers do not hear it, so that there it is a fault of the code that raised it."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
