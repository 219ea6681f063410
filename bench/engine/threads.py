"""One compute thread per process: contention between BLAS pools costs more than it gives."""

from __future__ import annotations

import os


def one_thread() -> None:
    """Set this process's environment, and so its children's, to one thread; to be called before numpy and torch load."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Networks free and take large blocks all the time: kept by the process, they cost no page faults (10 to 20 %).
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        os.environ.setdefault(name, str(2**28))
