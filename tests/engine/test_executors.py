"""Executors: the same answers wherever a job runs; a lost or hanging worker costs its own job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest
import toys

from bench.engine import executors
from bench.engine.executors import Executor, ExecutorOptions, ExecutorUnavailable, LostWorker
from bench.errors import BenchError, UnknownName
from bench.store import Store


@pytest.fixture
def processes() -> Iterator[Executor]:
    with executors.make("processes", ExecutorOptions(2, job_limit_s=2.0)) as made:
        yield made


def test_answers_and_errors_come_back(processes: Executor) -> None:
    for executor in (processes, executors.make("inline", ExecutorOptions())):
        futures = [executor.submit(toys.double, value) for value in range(20)]
        assert [future.result(60) for future in futures] == [2 * value for value in range(20)]
        with pytest.raises(ValueError, match="planted"):
            executor.submit(toys.refuse, "planted").result(60)


def test_a_worker_that_dies_costs_its_job(processes: Executor) -> None:
    before = [processes.submit(toys.double, value) for value in range(4)]
    dead = processes.submit(toys.die, 0)
    after = [processes.submit(toys.double, value) for value in range(4, 8)]
    with pytest.raises(LostWorker) as lost:
        dead.result(60)
    assert lost.value.kind == "crash"
    assert [future.result(60) for future in (*before, *after)] == [2 * value for value in range(8)]


def test_a_worker_that_hangs_is_ended(processes: Executor) -> None:
    start = time.monotonic()
    with pytest.raises(LostWorker, match="BENCH_JOB_LIMIT") as lost:
        processes.submit(toys.sleep, 60).result(30)
    assert lost.value.kind == "hang" and time.monotonic() - start < 20
    assert processes.submit(toys.double, 1).result(60) == 2


def test_closing_ends_what_runs() -> None:
    executor = executors.make("processes", ExecutorOptions(1))
    executor.submit(toys.double, 1).result(60)
    future = executor.submit(toys.sleep, 60)
    time.sleep(0.3)
    start = time.monotonic()
    executor.close()
    executor.close()
    wait([future], timeout=0.1)
    assert time.monotonic() - start < 2


def test_what_cannot_travel_is_told_at_once(processes: Executor) -> None:
    with pytest.raises(Exception, match=r"pickle|local object"):
        processes.submit(lambda job: job, 1)


def test_jobs_for_a_device_go_to_its_worker() -> None:
    with executors.make("processes", ExecutorOptions(1, gpus=("cuda:1",))) as made:
        assert made.submit(device_of, 0, "gpu").result(60) == "cuda:1"
        assert made.submit(device_of, 0, "cpu").result(60) == ""


def device_of(job: int) -> str:
    import os

    return os.environ.get("BENCH_WORKER_DEVICE", "")


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"inline", "processes", "ray", "slurm"} <= set(executors.targets())
    with pytest.raises(UnknownName, match="processes"):
        executors.make("proceses", ExecutorOptions())
    monkeypatch.setenv("BENCH_JOB_LIMIT", "soon")
    with pytest.raises(BenchError, match="BENCH_JOB_LIMIT=soon"):
        ExecutorOptions()


def test_no_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="needs the extra [slurm]")
    monkeypatch.setenv("BENCH_SHARDS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BENCH_SLURM_CLUSTER", raising=False)
    with pytest.raises(ExecutorUnavailable, match="sbatch"):
        executors.make("slurm", ExecutorOptions())


def test_files_of_jobs_lie_where_every_worker_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_SHARDS", raising=False)
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path / "own" / "store.sqlite") as store:
        for name in ("processes", "inline", "ray", executors.STORED):
            assert executors.shared(name, store) == tmp_path / "own"
        assert executors.shared("slurm", store) == tmp_path / ".bench" / "shards"
        monkeypatch.setenv("BENCH_SHARDS", str(tmp_path / "all"))
        assert {executors.shared(name, store) for name in ("ray", "slurm")} == {tmp_path / "all"}
        assert executors.shared("processes", store) == tmp_path / "own"
