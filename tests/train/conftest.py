"""Makes `victim_train` importable: it is a script as well as a module of these tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small matrices on several threads spend their time waiting for one another."""
    import torch

    torch.set_num_threads(1)
