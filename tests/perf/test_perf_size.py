"""Cost that grows linearly: plan, execute (work that does nothing), rows and table for two codecs.

BENCH_PERF_SIZE sets the larger number of utterances (default 50,000; the house's aim is 1,000,000). Each size runs in a process
of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL, LARGE = 10_000, int(os.environ.get("BENCH_PERF_SIZE", "50000"))
MOST_S = 1e-3
"""CPU seconds of the harness per utterance and codec."""
MOST_MIB = 300

SCRIPT = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import toys_size
from bench import audio
from bench.engine import systems
from bench.engine.runner import Runner
from bench.results import rows as row_files
from bench.store import Store
from bench.tasks import outcome

folder, count = Path(sys.argv[1]), int(sys.argv[2])
audio.write(folder / "a.wav", toys_size.WAVE, 16000)
plan = toys_size.plan(count, folder / "a.wav", systems.systems(["identity", "mulaw"]))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start = time.process_time()
with Store(folder / "s.sqlite") as store:
    runner = Runner(plan, store)
    runner.run()
    ran, memory = time.process_time(), peak()
    where = outcome.place(folder / "results", "resynthesis", plan.dataset, store)
    slices = (row_files.slices(plan, line, store, runner.failures) for line in plan.lines)
    outcome.deliver(where, slices, quiet=True)
each = 1 / count / 2
told = {{"run_s": (ran - start) * each, "table_s": (time.process_time() - ran) * each, "run_mib": memory, "mib": peak()}}
print(json.dumps(told))
"""


def measure(folder: Path, count: int) -> dict[str, float]:
    folder.mkdir()
    script = SCRIPT.format(here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script, str(folder), str(count)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_time_is_linear_and_the_run_needs_no_more_memory(benchmark: pytest.FixtureRequest, tmp_path: Path) -> None:
    small = measure(tmp_path / "small", SMALL)
    large = benchmark.pedantic(lambda: measure(tmp_path / "large", LARGE), rounds=1)
    each = {name: found["run_s"] + found["table_s"] for name, found in (("small", small), ("large", large))}
    ratio = each["large"] / each["small"]
    print(
        f"\n{SMALL:,} and {LARGE:,} utterances x 2 codecs: {each['small'] * 1e6:.0f} and {each['large'] * 1e6:.0f} us of CPU per "
        f"utterance and codec (ratio {ratio:.2f}); peak of the run {small['run_mib']:.0f} and {large['run_mib']:.0f} MiB, "
        f"of the table {small['mib']:.0f} and {large['mib']:.0f} MiB"
    )
    benchmark.extra_info.update(ratio=round(ratio, 2), us=round(each["large"] * 1e6))
    assert ratio <= 1.3 and each["large"] <= MOST_S
    assert large["run_mib"] - small["run_mib"] <= MOST_MIB and large["mib"] - small["mib"] <= MOST_MIB
