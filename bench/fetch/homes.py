"""Where downloads lie on this machine, and the switches that forbid the network."""

from __future__ import annotations

import os
from pathlib import Path

OFFLINE = "BENCH_OFFLINE"


def cache_dir() -> Path:
    """Where downloads and recorded digests live: $BENCH_CACHE, else ~/.cache/speech-codec-bench."""
    return Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "speech-codec-bench").expanduser()


def data_home() -> Path:
    """Where downloaded data sets live: $BENCH_DATA, else `data` in the cache."""
    return Path(os.environ.get("BENCH_DATA") or cache_dir() / "data").expanduser()


def offline() -> bool:
    """Whether BENCH_OFFLINE forbids the network; 0 and the empty text do not."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")
