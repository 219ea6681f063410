"""Trainings of the tests: one thread each, and a way to kill one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench


@pytest.fixture(autouse=True)
def _alone(one_thread: None) -> None:
    """Every training here computes on one thread."""


@pytest.fixture
def kill_training() -> Callable[[Path, Path, int], None]:
    """(victim, checkpoint, epoch): runs the victim, a program that trains and prints its epochs, and kills it after that one."""
    if os.name != "posix":
        pytest.skip("kills a process")

    def kill(victim: Path, checkpoint: Path, epoch: int) -> None:
        here = os.environ | {"PYTHONPATH": str(Path(bench.__file__).parents[1])}
        words = [sys.executable, str(victim), str(checkpoint)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=here) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == str(epoch):
                    break
            process.kill()

    return kill
