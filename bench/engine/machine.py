"""Cores and threads: one compute thread per process, since contention between BLAS pools costs more than it gives."""

from __future__ import annotations

import os

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "OMP_WAIT_POLICY": "PASSIVE",
    # Networks free and take large blocks all the time: kept by the process, they cost no page faults (10 to 20 %).
    **dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**28)),
}
"""What a worker's environment holds before numpy and torch load."""
_FORCED = tuple(name for name in ENVIRONMENT if name.endswith("_NUM_THREADS"))


def cores() -> int:
    """Cores this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def one_thread() -> None:
    """Bring this process's environment, and so its children's, to ENVIRONMENT; a user's waiting policy and malloc stay."""
    for name, value in ENVIRONMENT.items():
        if name in _FORCED:
            os.environ[name] = value
        else:
            os.environ.setdefault(name, value)
