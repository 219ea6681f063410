"""Ray, the real one, on this machine: two nodes give the pool's rows; a node or a driver that is lost costs time only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import toys

from bench.engine import executors, systems, worker
from bench.engine.executors import ExecutorOptions, ExecutorUnavailable
from bench.engine.jobs import Job
from bench.engine.plan import Line, Plan
from bench.engine.producers.resynthesis import Resynthesis
from bench.engine.runner import Runner
from bench.errors import WeightsInvalid
from bench.results import rows as row_files
from bench.store import Store

ray = pytest.importorskip("ray", reason="needs the extra [ray]")
TIMED = ["rtf_encode", "rtf_decode"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    here = os.pathsep.join([str(Path(__file__).parent), str(Path(toys.__file__).parents[2])])
    monkeypatch.setenv("PYTHONPATH", here)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    ray.shutdown()
    made.shutdown()


def plan(folder: Path, executor: str, count: int = 8) -> Plan:
    dataset = toys.make_set(folder, count)
    return Plan(
        "resynthesis", tuple(systems.systems(["mulaw", "identity"])), dataset, ("stoi", "si_sdr"), workers=2, executor=executor
    )


def rows_of(wanted: Plan, store: Path) -> pd.DataFrame:
    with Store(store) as opened:
        runner = Runner(wanted, opened)
        runner.run()
        rows = row_files.frame(wanted, opened, runner.failures)
    return rows[~rows["column"].isin(TIMED)].reset_index(drop=True)


def test_two_nodes_give_the_rows_of_processes_though_one_is_killed(tmp_path: Path, cluster: Any) -> None:
    wanted = plan(tmp_path / "a", "ray")
    pool = rows_of(plan(tmp_path / "a", "processes"), tmp_path / "pool.sqlite")
    pd.testing.assert_frame_equal(rows_of(wanted, tmp_path / "ray.sqlite"), pool)

    # Once more, and in the middle one node dies without a word.
    with Store(tmp_path / "killed.sqlite") as store:
        runner = Runner(wanted, store)
        settle, counted = runner._settle, []

        def kill_once(*given: Any) -> None:
            settle(*given)
            counted.append(len(store))
            if len(counted) == 1:
                cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)

        runner._settle = kill_once  # type: ignore[method-assign]
        runner.run()
        rows = row_files.frame(wanted, store, runner.failures)
    assert counted[0] > 0, "the node was killed in the middle"
    assert rows["failure"].isna().all()
    pd.testing.assert_frame_equal(rows[~rows["column"].isin(TIMED)].reset_index(drop=True), pool)


def test_a_killed_driver_goes_on(tmp_path: Path, cluster: Any) -> None:
    toys.make_set(tmp_path / "a", 40)
    script = Path(__file__).with_name("victim.py")
    store = tmp_path / "s.sqlite"
    command = [sys.executable, str(script), str(tmp_path / "a"), str(store), "ray"]
    process = subprocess.Popen(command, start_new_session=True)
    until = time.monotonic() + 90
    while time.monotonic() < until and toys.entries(store) < 10:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = toys.keys_in(store)
    assert 10 <= len(finished) < 40 * 2 * 5, "the driver was killed in the middle"
    made: list[str] = []
    with Store(store) as opened:
        put = opened.put_raw
        opened.put_raw = lambda rows: (made.extend(key for key, _, _ in rows), put(rows))[1]  # type: ignore[method-assign]
        Runner(plan(tmp_path / "a", "ray", 40), opened).run()
    assert not set(made) & finished, "finished work was done again"


def test_other_versions_are_refused(tmp_path: Path) -> None:
    job = Job(None, (), (), (), versions={"numpy": "0.1"}, host="elsewhere")
    with pytest.raises(worker.VersionsDiffer, match=r"numpy .* \(driver: 0\.1\)"):
        worker.run(job)


def test_weights_are_found_on_the_node_by_kind_and_digest() -> None:
    """The driver's paths mean nothing on another machine; weights of another digest are refused."""
    [system] = systems.systems(["focalcodec@12.5"])
    moved = replace(system.weights, files={name: Path("/elsewhere") / name for name in system.weights.files})
    job = Job(Line(replace(system, weights=moved), Resynthesis()), (), (), (), host="elsewhere")
    found = worker._of_this_node(job)
    assert found.line is not None and found.line.system.weights.files == system.weights.files
    assert found.line.system.key == system.key
    other = replace(moved, sha256=dict.fromkeys(moved.sha256, "0" * 64))
    with pytest.raises(WeightsInvalid, match="bring both machines to the same revision"):
        worker._of_this_node(replace(job, line=replace(job.line, system=replace(system, weights=other))))


def test_no_cluster_at_the_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ExecutorUnavailable, match=r"RAY_ADDRESS=127\.0\.0\.1:1"):
        executors.make("ray", ExecutorOptions(1))
