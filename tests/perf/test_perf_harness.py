"""Speed of the harness itself: what it adds to the metrics' own time, cold and warm starts, cores kept busy.

Ratios are taken within one run, so that a slow or busy machine moves both sides.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import audio, data
from bench.coding.codec import roundtrip
from bench.engine import systems as planning
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.store import Store

COUNT = 56
FLAGS = ["--codec", "mulaw", "--metrics", "pesq_wb,stoi", "--limit", str(COUNT), "--quiet"]
COMMAND = [sys.executable, "-m", "bench", "run", *FLAGS]


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    from bench import adapters, cards
    from bench.fetch import weights

    point = cards.resolve("mulaw")
    codec = adapters.load(point, weights.resolve(point))
    references = [u.read(16000)[0] for u in data.load("embedded").limit(COUNT)]
    return [(wave, audio.to_pcm16(roundtrip(codec, wave)[1]) / 32768.0) for wave in references]


def test_overhead_over_bare_kernels(benchmark: pytest.FixtureRequest, tmp_path: Path) -> None:
    """One process: reading, coding, storing and rows, against pesq and pystoi called bare on the same decoded files."""
    from pesq import pesq
    from pystoi import stoi

    ready = pairs()
    for ref, deg in ready[:2]:  # lazy imports and caches on neither side
        pesq(16000, ref, deg, "wb"), stoi(ref, deg, 16000)
    start = time.process_time()
    for ref, deg in ready:
        pesq(16000, ref, deg, "wb"), stoi(ref, deg, 16000), stoi(ref, deg, 16000, extended=True)
    bare = time.process_time() - start

    dataset = data.load("embedded").limit(COUNT)
    plan = Plan("resynthesis", tuple(planning.systems(("mulaw",))), dataset, ("pesq_wb", "stoi"), workers=1)
    plan = replace(plan, executor="inline")

    def harness(some: Plan = plan) -> float:
        begun = time.process_time()
        with Store(tmp_path / f"{time.time_ns()}.sqlite") as store:
            Runner(some, store).run()
        return time.process_time() - begun

    harness(replace(plan, dataset=dataset.limit(2)))

    spent = benchmark.pedantic(harness, rounds=1)
    benchmark.extra_info.update(bare_s=round(bare, 2), harness_s=round(spent, 2), overhead=round(spent / bare - 1, 3))
    print(f"\nbare pesq + stoi + estoi {bare:.2f} s CPU, harness {spent:.2f} s CPU: overhead {spent / bare - 1:+.1%}")


def test_cold_and_warm_runs(benchmark: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Wall seconds of a cold run and of a second one that finds everything in the store; share of two cores kept busy."""
    command = [*COMMAND, "--store", str(tmp_path / "s.sqlite"), "--results", str(tmp_path / "results")]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    cold = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = min(2, len(os.sched_getaffinity(0)))
    busy = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / cold / cores
    warm = benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=3)
    assert warm.returncode == 0
    benchmark.extra_info.update(cold_s=round(cold, 2), cores_busy=round(busy, 2))
    print(f"\ncold {cold:.1f} s, {cores} cores {busy:.0%} busy over the whole command")


def test_time_to_the_first_utterance(benchmark: pytest.FixtureRequest, tmp_path: Path) -> None:
    """From an empty store to the first finished utterance, processes and imports included."""
    dataset = data.load("embedded").limit(1)

    def first() -> None:
        plan = Plan("resynthesis", tuple(planning.systems(("mulaw",))), dataset, ("pesq_wb", "stoi"), workers=1)
        with Store(tmp_path / f"{time.time_ns()}.sqlite") as store:
            Runner(plan, store).run()

    benchmark.pedantic(first, rounds=3)
