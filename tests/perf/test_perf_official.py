"""Our codecs beside the official classes: the same random weights, equal codes, and what both spend, in one run, on one thread.

`make perf ARGS="-s -k official"` prints the ratios. The packages: tools/official.txt.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.coding.codec import HasNetwork
from tests.adapters.conftest import voiced_bursts
from tests.perf.official import MAKERS, pair

SECONDS, ROUNDS = 2.03, 5
MIB = 2**20


pytestmark = pytest.mark.usefixtures("one_thread_without_gradients")


def cpu_seconds(*runs: Callable[[], object]) -> list[float]:
    """The least CPU seconds of each of `runs`, which take turns, so that what else the machine does meets all of them."""
    best = [float("inf")] * len(runs)
    for _ in range(ROUNDS):
        for place, run in enumerate(runs):
            start = time.process_time()
            run()
            best[place] = min(best[place], time.process_time() - start)
    return best


def resident(key: str) -> int:
    """Bytes of this process in memory, now (`VmRSS`) or at most since the mark was set back (`VmHWM`)."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key + ":")]
    return int(line.split()[1]) * 1024


def peak_bytes(networks: list[Any], run: Callable[[], object]) -> int:
    """What the networks hold, and by how much the process grows at most while `run` runs."""
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for network in networks for tensor in (*network.parameters(), *network.buffers())}  # fmt: skip
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    run()
    return sum(held.values()) + resident("VmHWM") - before


@pytest.mark.parametrize("name", MAKERS)
def test_no_slower_and_no_larger_than_the_official_class(benchmark, name: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """CPU seconds within 10 % for the noise of a shared machine, memory within 2 %; codes equal, waves within 1e-4."""
    if sys.platform != "linux":
        pytest.skip("peak memory is read from /proc")
    ours, theirs = pair(name, tmp_path)
    wave = voiced_bursts(ours.sample_rate, SECONDS, 1)
    tensor = torch.from_numpy(wave)
    [codes], their_codes = ours.encode([wave]), theirs.encode(tensor)
    for one, other in zip(codes.tokens, their_codes, strict=True):
        np.testing.assert_array_equal(one.indices, other.numpy())
        assert len(np.unique(one.indices)) > 10
    [decoded], their_wave = ours.decode([codes]), theirs.decode(their_codes).numpy()
    np.testing.assert_allclose(decoded, their_wave, rtol=0, atol=1e-4 * float(np.abs(their_wave).max()))
    assert isinstance(ours, HasNetwork)
    mine = list(ours.networks().values())
    stages: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "encode": (lambda: ours.encode([wave]), lambda: theirs.encode(tensor)),
        "decode": (lambda: ours.decode([codes]), lambda: theirs.decode(their_codes)),
    }
    ratios = {}
    for stage, (one, other) in stages.items():
        seconds = cpu_seconds(one, other)
        # One reading moves by a quarter with what the allocator has kept: the least of several, taken in turns.
        readings = [(peak_bytes(mine, one), peak_bytes([theirs.network], other)) for _ in range(ROUNDS)]
        sizes = tuple(map(min, zip(*readings, strict=True)))
        ratios[f"{stage} time"], ratios[f"{stage} memory"] = seconds[0] / seconds[1], sizes[0] / sizes[1]
        for who, spent, size in zip(("ours", "official"), seconds, sizes, strict=True):
            print(f"{name} {stage}, {who}: {spent:.3f} s, {size / MIB:.0f} MiB")
    print(name, {what: round(ratio, 3) for what, ratio in ratios.items()})
    benchmark.pedantic(stages["encode"][0], rounds=1)
    benchmark.extra_info.update(ratios, audio_s=SECONDS)
    assert max(ratios["encode time"], ratios["decode time"]) < 1.1
    assert max(ratios["encode memory"], ratios["decode memory"]) < 1.02
