"""Speech codec bench: codecs x tasks -> results, with intervals, failures and provenance beside every number.

From Python (docs/python.md): `bench.load_codec`, `bench.score`, `bench.evaluate`. A codec of your own (README) needs
`bench.Codec`, `bench.Codes`, and the parts of a message: `bench.Tokens`, `bench.Packets`, `bench.Vector`. All are imported when
they are first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Large tensors on huge pages, where the system leaves that to programs: the large maps of convolutional codecs otherwise spend
# a fifth of their time on having pages of 4 KiB handed out. torch reads this at its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from bench.api import Result, evaluate, load_codec, score
    from bench.coding.codec import Codec, decode, encode, roundtrip
    from bench.coding.codes import Codes, Packets, Tokens, Vector

__all__ = [
    "Codec",
    "Codes",
    "Packets",
    "Result",
    "Tokens",
    "Vector",
    "__version__",
    "decode",
    "encode",
    "evaluate",
    "load_codec",
    "roundtrip",
    "score",
]

_HOMES = {
    **dict.fromkeys(("Result", "evaluate", "load_codec", "score"), "bench.api"),
    **dict.fromkeys(("Codec", "decode", "encode", "roundtrip"), "bench.coding.codec"),
    **dict.fromkeys(("Codes", "Packets", "Tokens", "Vector"), "bench.coding.codes"),
}
"""Name -> the module that it is imported from at its first use."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
