"""How fast the command line starts: CPU seconds of commands, worker processes included, so that a busy machine moves little.

Each bound is the promise that README and CONTRIBUTING make; the benchmark's table has the wall time.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

COLD = ["run", "--codec", "opus@6", "--metrics", "pesq_wb,stoi", "--limit", "2", "--workers", "1"]


def cpu_s(*words: str) -> float:
    """CPU seconds of `python -m bench WORDS` and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "bench", *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(("words", "most"), [(["list"], 0.4), (["list", "all"], 1.0), (["doctor"], 5.0)], ids=str)
def test_commands_that_only_tell(benchmark: pytest.FixtureRequest, words: list[str], most: float) -> None:
    spent = []
    benchmark.pedantic(lambda: spent.append(cpu_s(*words)), rounds=3)
    benchmark.extra_info.update(cpu_s=round(min(spent), 2))
    assert min(spent) < most


def test_a_cold_run_of_two_clips_and_its_warm_rerun(benchmark: pytest.FixtureRequest, tmp_path: Path) -> None:
    """PESQ and STOI of two clips, one worker: at most 3 CPU-seconds from nothing, 2 when everything is in the store."""
    spent = []
    for number in range(2):
        places = ["--store", str(tmp_path / f"{number}.sqlite"), "--results", str(tmp_path / str(number))]
        spent.append(cpu_s(*COLD, *places))
    warm: list[float] = []
    benchmark.pedantic(lambda: warm.append(cpu_s(*COLD, *places)), rounds=2)
    benchmark.extra_info.update(cold_cpu_s=round(min(spent), 2), warm_cpu_s=round(min(warm), 2))
    assert min(spent) < 3 and min(warm) < 2
