"""Two lanes on a device that computes on the CPU and refuses its tensors: rows equal one lane's, batches fit, nothing mixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import lane
import pandas as pd
import pytest
import toys

from bench import audio, device
from bench.engine import executors, memory, systems, worker
from bench.engine.executors import Executor, ExecutorOptions, Needs
from bench.engine.executors.inline import Inline
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.engine.schedule import Schedule
from bench.metrics import networks
from bench.results import rows as row_files
from bench.speech import Utterance
from bench.store import Store

COLUMNS = ("stoi", "dnsmos_p808", "distillmos", "sim_resemblyzer")
TIMED = ["rtf_encode", "rtf_decode", "throughput_encode", "throughput_decode"]


def _rows(plan: Plan, path: Path, executor: Executor | None = None) -> pd.DataFrame:
    with Store(path) as store, executor or lane.LaneExecutor(ExecutorOptions(1, (plan.device,))) as workers:
        runner = Runner(plan, store, workers if plan.lanes else None)
        runner.run()
        return row_files.frame(plan, store, runner.failures)


def _failed(rows: pd.DataFrame) -> set[str]:
    """Kinds of failures, but for facts that are not defined."""
    return set(rows["failure"].dropna()) - {"undefined"}


def test_the_device_lane_gives_the_rows_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codecs whose waves go together and one by one, metrics with a network and without."""
    monkeypatch.setattr("bench.engine.schedule.ALONE", 2)
    dataset = toys.make_set(tmp_path / "a", 6)
    of = {
        where: _rows(
            Plan(
                "resynthesis", tuple(systems.systems(["focalcodec@50", "mulaw"], device=where)), dataset, COLUMNS,
                device=where, workers=1,
            ),
            tmp_path / f"{where}.sqlite",
        )
        for where in ("cpu", "lane")
    }  # fmt: skip
    names = ["codec", "utterance", "column"]
    cpu, other = (rows[~rows["column"].isin([*TIMED, "wave", "fresh_db"])].set_index(names).sort_index() for rows in of.values())
    assert list(cpu.index) == list(other.index)
    codes = cpu.index.get_level_values("column") == "codes"
    assert list(cpu["detail"][codes]) == list(other["detail"][codes])
    numbers = cpu["value"].notna()
    assert cpu["value"][numbers].tolist() == pytest.approx(other["value"][numbers].tolist(), rel=2e-4, abs=2e-4)
    assert not _failed(cpu) and not _failed(other)
    assert set(other["device_kind"]) == {"lane"} and set(cpu["device_kind"]) == {"cpu"}
    on_device = other["metric"] == "distillmos"
    assert set(other["metric_key"][on_device]).isdisjoint(cpu["metric_key"][cpu["metric"] == "distillmos"])
    # A share of a batch never passes for a real-time factor, and no utterance has both.
    rows = of["lane"][of["lane"]["codec"] == "focalcodec@50"]
    timed = rows[rows["column"].isin(["rtf_encode", "throughput_encode"])]
    assert sorted(timed["utterance"]) == sorted({u.id for u in dataset}) and timed["column"].nunique() == 2
    assert timed.loc[timed["column"] == "throughput_encode", "detail"].str.startswith("batch of ").all()
    assert "rtf_encode" in set(of["cpu"]["column"]) and "throughput_encode" not in set(of["cpu"]["column"])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    """Jobs run in this process, which has the device: what it saw can be read. No model is here before or after."""

    def forget() -> None:
        worker._codecs._loaded.clear()
        networks.forget("lane")
        memory._limits.clear()

    lane.register()
    forget()
    monkeypatch.setattr(lane.State, "memory", 1 << 50)
    for counter in ("refused", "peak"):
        monkeypatch.setattr(lane.State, counter, 0)
    monkeypatch.setattr("bench.engine.schedule.ALONE", 2)
    with executors.make("inline", ExecutorOptions(1)) as executor:
        yield executor
    forget()


def test_models_take_turns_in_memory_that_does_not_hold_all_and_batches_are_halved(
    tmp_path: Path, here: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are those of a device with room for everything; only the utterance that does not fit alone has failed, and the
    codec is not at fault."""
    dataset = toys.make_set(tmp_path / "a", 6)
    long = tmp_path / "long.wav"
    audio.write(long, toys.speechlike(9, 20.0), 16000)
    dataset = replace(dataset, utterances=(*dataset.utterances, Utterance("long", long, "s0", text="one two")))
    chosen = tuple(systems.systems(["focalcodec@50"], device="lane"))
    plan = Plan("resynthesis", chosen, dataset, ("stoi", "distillmos", "sim_resemblyzer"), device="lane", workers=1)
    whole = _rows(plan, tmp_path / "whole.sqlite", here)
    assert lane.State.refused == 0 and not _failed(whole)
    lasting, peak = lane.State.held, lane.State.peak
    # The codec and one utterance of a second fit; the codec and DistillMOS do not, nor all utterances together.
    codec = sum(one.numel() * one.element_size() for one in worker._codecs.get(chosen[0]).network.parameters())
    limit = codec + (9 << 20)
    assert limit < lasting < peak
    worker._codecs._loaded.clear()
    networks.forget("lane")
    memory._limits.clear()
    monkeypatch.setattr(lane.State, "memory", limit)
    tight = _rows(plan, tmp_path / "tight.sqlite", here)
    assert lane.State.refused >= 3
    lost = tight["failure"] == "out_of_memory"
    assert set(tight["utterance"][lost]) == {"long"} and _failed(tight) == {"out_of_memory"}
    names = ["utterance", "column"]
    one, two = (
        rows[(rows["utterance"] != "long") & rows["column"].isin(plan.columns)].set_index(names).sort_index()["value"]
        for rows in (whole, tight)
    )
    assert list(one.index) == list(two.index) and len(one) == 18
    assert one.tolist() == pytest.approx(two.tolist(), rel=1e-5)


class Told(Inline):
    """Jobs run here; who did what is kept."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Needs, str, int, set[str]]] = []

    def submit(self, work: Callable[[Any], Any], job: Any, needs: Needs = "cpu") -> Future[Any]:
        if job.line is not None:
            names = {one.metric for one in job.due}
            self.jobs.append((needs, job.stage, len(job.items), names))
        return super().submit(work, job, needs)


def test_the_device_scores_what_it_can_and_every_worker_the_rest(tmp_path: Path, here: Executor) -> None:
    """One job on the device, then small ones on CPUs, each with its own waves; none where no CPU metric is due."""
    dataset = toys.make_set(tmp_path / "a", 14)
    chosen = tuple(systems.systems(["mulaw"], device="lane"))
    told = Told()
    plan = Plan("resynthesis", chosen, dataset, ("stoi", "sim_resemblyzer"), device="lane", workers=1, always=())
    rows = _rows(plan, tmp_path / "a.sqlite", told)
    assert not _failed(rows) and (rows["column"] == "stoi").sum() == (rows["column"] == "sim_resemblyzer").sum() == 14
    both = {"stoi", "sim_resemblyzer"}
    assert told.jobs == [("gpu", "make", 14, both), *(("cpu", "score", size, {"stoi"}) for size in (6, 6, 2))]
    told.jobs.clear()
    assert not _failed(_rows(replace(plan, columns=("sim_resemblyzer",), comparisons=()), tmp_path / "b.sqlite", told))
    assert told.jobs == [("gpu", "make", 14, {"sim_resemblyzer"})]


@pytest.mark.parametrize("has_cuda", [True, False])
def test_a_network_that_cannot_use_the_device_is_scored_on_cpus(
    tmp_path: Path, has_cuda: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.metrics.networks.onnx.has_cuda", lambda: has_cuda)
    dataset = toys.make_set(tmp_path / "a", 2)
    columns = ("stoi", "dnsmos_p808", "sim_resemblyzer")
    plan = Plan("resynthesis", tuple(systems.systems(["mulaw"], device="cuda")), dataset, columns, device="cuda")
    with Store(tmp_path / "a.sqlite") as store:
        [window] = Schedule(plan, store)
    assert {job.apart for job in window.jobs} == {frozenset({"sim_resemblyzer", *(["dnsmos_p808"] * has_cuda)})}


@pytest.mark.parametrize("room", [1, 2, 5, 100])
def test_batches_are_halved_until_they_fit_and_the_limit_is_kept(tmp_path: Path, room: int) -> None:
    items = toys.make_set(tmp_path / "a", 11).utterances
    tried: list[int] = []

    def compute(some: list[int]) -> list[int]:
        tried.append(len(some))
        if len(some) > room:
            raise MemoryError("planted")
        return [place * place for place in some]

    def go() -> dict[int, int]:
        return dict(memory.run(items, compute, system=f"s{room}", where="lane", together=True, alone={3}))

    assert go() == {place: place * place for place in range(11)}
    assert tried[0] == 1 and max(tried) == 10  # the one that is timed by itself, then all others
    tried.clear()
    go()
    assert max(tried) <= room
    tried.clear()
    assert list(memory.run(items, compute, system="s", where="cpu", together=True)) == [(p, p * p) for p in range(11)]
    assert set(tried) == {1}


def test_what_does_not_fit_alone_fails_alone(tmp_path: Path) -> None:
    items = toys.make_set(tmp_path / "a", 5).utterances

    def compute(some: list[int]) -> list[str]:
        if 2 in some:
            raise MemoryError("planted")
        return ["made" for _ in some]

    found = dict(memory.run(items, compute, system="t", where="lane", together=True))
    assert isinstance(found.pop(2), MemoryError) and found == dict.fromkeys((0, 1, 3, 4), "made")


def test_every_gpu_is_a_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert device.all_of("cuda") == ("cuda:0", "cuda:1", "cuda:2")
    assert device.all_of("cuda:1") == ("cuda:1",) and device.all_of("cpu") == ("cpu",)


def test_each_card_is_a_process_of_its_own_and_rows_are_those_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.engine.schedule.DEVICE_CHUNK", 1)
    dataset = toys.make_set(tmp_path / "a", 8)
    chosen = tuple(systems.systems(["mulaw"], device="lane"))
    plan = Plan("resynthesis", chosen, dataset, ("sim_resemblyzer",), device="lane", workers=1, always=())
    found = {}
    for cards in (("cuda:0",), ("cuda:0", "cuda:1")):
        log = tmp_path / f"{len(cards)}.log"
        monkeypatch.setenv("LANE_LOG", str(log))
        rows = _rows(plan, tmp_path / f"{len(cards)}.sqlite", lane.LaneExecutor(ExecutorOptions(1, cards)))
        assert not _failed(rows)
        found[len(cards)] = rows[rows["column"] == "sim_resemblyzer"]["value"].tolist()
        told = [line.split() for line in log.read_text().splitlines()]
        assert len(told) == 16, "eight references, eight utterances"
        assert {card for _, card in told} == set(cards) and len({pid for pid, _ in told}) == len(cards)
    assert found[1] == found[2]


def test_a_process_uses_its_own_card_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setenv("BENCH_WORKER_DEVICE", "cuda:1")
    assert device.use("cuda") == "cuda:1" and device.use("cuda:0") == "cuda:0" and device.use("cpu") == "cpu"
    assert chosen == ["cuda:1", "cuda:0"]


def test_precision_is_full_and_comes_back() -> None:
    import torch

    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    restore = device.full_precision()
    assert matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == device.PRECISION == "ieee"
    restore()
    assert matmul.fp32_precision == before
