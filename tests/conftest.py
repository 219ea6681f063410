"""Fixtures that several test files need."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "devices"))  # worker processes inherit it


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference values and real speech beside the repository; skips, by name, where it is absent."""
    path = Path(os.environ.get("BENCH_SHARED", REPOSITORY.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"needs the reference folder {path} (set BENCH_SHARED)")
    return path
