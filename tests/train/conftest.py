"""Makes `victim_train` importable: it is a script as well as a module of these tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _alone(one_thread: None) -> None:
    """Every training here computes on one thread."""
