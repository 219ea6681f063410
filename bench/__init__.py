"""Speech codec bench: codecs x tasks -> results, with intervals, failures and provenance beside every number.

From Python (docs/python.md): `bench.load_codec`, `bench.score`, `bench.evaluate`. They are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bench.api import Result, evaluate, load_codec, score

__all__ = ["Result", "__version__", "evaluate", "load_codec", "score"]


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from bench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
