"""Laws of every network: batches of mixed lengths equal single runs, memory that runs out halves batches, devices keep apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from bench import batches, metrics
from bench.metrics import MetricFailure, Signal, networks, sim_ecapa, sim_wavlm, utmos, whisper
from bench.metrics.networks import Batch, Network, mean_of, whole
from bench.metrics.shapes import of_wave

NAMES = (
    "utmos", "distillmos", "dnsmos_p808", "dnsmos_p835", "pdnsmos", "sim_wavlm", "sim_ecapa", "sim_resemblyzer", "whisper_small"
)  # fmt: skip
LENGTHS = (9_000, 16_000, 6_000, 16_001)


def test_every_network_is_under_these_laws():
    every = {metrics.find(column).name for column in metrics.names() if metrics.find(column).device}
    assert every == {*NAMES, "whisper_large"}  # the same code as whisper_small
    assert not metrics.find("dwer").device and metrics.find("dwer").place("cuda") == "cpu"


@pytest.fixture(scope="module")
def models(tiny_whisper):
    """Networks whose weights are not here: random ones of the true shapes, but few layers."""
    from transformers import WavLMConfig, WavLMForXVector

    from bench.metrics.networks.ecapa import Ecapa
    from bench.metrics.networks.utmos import Utmos

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.metrics.networks.utmos.LAYERS", 3)
        judge = Utmos()
    shape = {"use_weighted_layer_sum": True, "xvector_output_dim": 512, "num_labels": 8}
    verifier = WavLMForXVector(WavLMConfig(num_hidden_layers=3, **shape))
    speaker = Ecapa()
    for module in (*judge.modules(), *verifier.modules(), *speaker.modules()):
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
        if isinstance(module, torch.nn.GroupNorm | torch.nn.LayerNorm):
            torch.nn.init.normal_(module.weight, 1.0, 0.2)
            torch.nn.init.normal_(module.bias, 0.0, 0.2)
    found = {
        utmos.NETWORK.name: judge.eval(),
        sim_wavlm.NETWORK.name: verifier.eval(),
        sim_ecapa.NETWORK.name: speaker.eval(),
        whisper.NETWORKS["small"].name: tiny_whisper,
    }
    return found


@pytest.fixture
def loaded(models, monkeypatch):
    for name, model in models.items():
        monkeypatch.setitem(networks._loaded, (name, "cpu"), model)


@pytest.fixture(scope="module")
def signals(voice):
    """Mixed and equal lengths, a loud end, silence, a short and a long one."""
    waves = [voice[:size] for size in LENGTHS]
    rising = voice[:16_000] * np.linspace(0.05, 3.0, 16_000, dtype=np.float32)
    waves += [rising, np.zeros(8_000, np.float32), voice[:300], np.tile(voice, 4)[:-4_321]]
    return [Signal(wave, 16_000) for wave in waves]


def _numbers(found):
    if isinstance(found, MetricFailure):
        return found.kind
    return {key: value if isinstance(value, str) else np.asarray(value, np.float64) for key, value in found.items()}


def _assert_equal(found, wanted, tolerance):
    for one, other in zip(map(_numbers, found), map(_numbers, wanted), strict=True):
        if isinstance(other, str):
            assert one == other
            continue
        assert one.keys() == other.keys()
        for key, value in other.items():
            if isinstance(value, str):
                assert one[key] == value
            else:
                assert np.abs(one[key] - value).max() <= tolerance * max(1.0, float(np.abs(value).max())), key


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_mixed_lengths_equal_single_runs(name, loaded, signals, monkeypatch):
    metric = metrics.find(name)
    network = metric.network
    if name in ("dnsmos_p835", "pdnsmos"):  # slow, and all windows have one length
        signals = [signals[i] for i in (0, 4, 5, 6)]
    single = [metric.analyse([signal])[0] for signal in signals]
    assert sum(not isinstance(found, MetricFailure) for found in single) >= len(signals) // 2
    # On a CPU most networks hear one signal at a time, whoever else is there.
    _assert_equal(metric.analyse(signals[:3]), single[:3], 0.0 if network.cpu_alone else 1e-5)
    run, seen = network.run, []
    monkeypatch.setitem(network.__dict__, "run", lambda model, batch: seen.append(batch.sizes) or run(model, batch))
    _assert_equal(metric.analyse_on("cpu", signals, batched=True), single, 1e-5)
    # The law would hold of batches of one as well.
    assert max(map(len, seen)) >= 2
    if name in ("utmos", "distillmos", "sim_wavlm", "sim_ecapa", "whisper_small"):
        assert any(len(set(sizes)) > 1 for sizes in seen)


class _Counting(torch.nn.Module):
    """A score that is the row's energy, on a machine with room for `room_s` seconds."""

    def __init__(self, room_s: float) -> None:
        super().__init__()
        self.room_s, self.tried = room_s, []

    def forward(self, batch: Batch) -> torch.Tensor:
        seconds = batch.rows.numel() / 16_000
        self.tried.append(seconds)
        if seconds > self.room_s:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return batch.rows.square().sum(dim=1)


def _network(model: torch.nn.Module, **fields) -> Network:
    network = Network("counting", lambda device: model, whole, lambda m, b: m(b), mean_of(), list, **fields)
    networks._loaded.pop(("counting", "cpu"), None)
    networks._limits.pop(("counting", "cpu"), None)
    return network


def test_memory_that_runs_out_halves_batches_and_goes_on(voice):
    model = _Counting(4.0)
    network = _network(model)
    signals = [Signal(voice[: 8_000 + 500 * i], 16_000) for i in range(16)]
    found = networks.analyse(network, signals, batched=True)
    wanted = [float(np.square(signal.wave, dtype=np.float64).sum()) for signal in signals]
    assert [f["score"] for f in found] == pytest.approx(wanted, rel=1e-5)
    refused = [seconds for seconds in model.tried if seconds > 4.0]
    assert refused and all(after <= before / 2 + 1e-9 for before, after in pairwise(refused))
    tried = len(model.tried)
    networks.analyse(network, signals, batched=True)
    assert max(model.tried[tried:]) <= 4.0  # the limit that was found is kept


def test_one_signal_that_does_not_fit_alone_is_a_failure_of_its_own(voice):
    network = _network(_Counting(1.0))
    long, short = Signal(np.tile(voice, 2), 16_000), Signal(voice[:8_000], 16_000)
    first, second, third = networks.analyse(network, [short, long, short], batched=True)
    assert isinstance(second, MetricFailure) and second.kind == "out_of_memory" and "4.0 s" in str(second)
    assert first == third and not isinstance(first, MetricFailure)


def test_other_errors_are_not_swallowed(voice):
    class Broken(torch.nn.Module):
        def forward(self, batch):
            raise RuntimeError("expected all tensors on one device")

    with pytest.raises(RuntimeError, match="one device"):
        networks.analyse(_network(Broken()), [Signal(voice, 16_000)], batched=True)


def test_what_counts_as_memory_that_ran_out():
    said = (
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
        "CUDNN_STATUS_ALLOC_FAILED",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 4",
    )
    assert all(batches.out_of_memory(RuntimeError(text)) for text in said) and batches.out_of_memory(MemoryError())
    assert not batches.out_of_memory(RuntimeError("size mismatch"))
    assert not batches.out_of_memory(KeyboardInterrupt("out of memory"))


def test_plans():
    lengths = ((10, "a"), (30, "a"), (20, "b"), (30, "a"), (10, "a"))
    items = [batches.Item(length, length / 10.0, kind) for length, kind in lengths]
    assert batches.plan(items, 6.0) == [[1, 3], [2], [0, 4]]
    assert batches.plan(items, 9.0) == [[1, 3, 0], [2], [4]]
    assert batches.plan(items, 0.5) == [[1], [3], [2], [0], [4]]  # longer than the limit: alone
    assert batches.plan(items, 100.0, mixed=False) == [[1, 3], [2], [0, 4]]
    assert batches.plan(items, 100.0, most=2) == [[1, 3], [2], [0, 4]]
    assert batches.plan([], 1.0) == []


def test_a_metric_of_a_few_lines_gets_single_and_batch(voice):
    """What an author writes: how to load, and what a batch gives."""
    network = _network(_Counting(60.0))
    metric = of_wave("energy", (metrics.Column("energy", "energy"),), network)
    assert metric.device and metric.one_sided and metric.load() is network.on("cpu")
    signals = [Signal(voice[:size], 16_000) for size in LENGTHS]
    single = [metric.score(signals[0], signal)["energy"] for signal in signals]
    assert [f["score"] for f in metric.analyse_on("cpu", signals, batched=True)] == pytest.approx(single, rel=1e-6)
    silent = Signal(np.zeros(8_000, np.float32), 16_000)
    assert metric.score(signals[0], silent)["energy"].kind == "silence"
    assert metric.score(signals[0], Signal(voice, 8_000))["energy"].kind == "rate"
    with pytest.raises(metrics.BenchError, match="si_sdr"):
        metrics.find("si_sdr").load("cpu")


# Whisper generates by transformers, which this device cannot: tests/core/test_gpu_check.py runs its encoder and its greedy ids.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "whisper_small"])
def test_a_device_scores_as_the_cpu_and_is_not_waited_for(name, loaded, signals, monkeypatch):
    """Mixed lengths on a device that refuses the CPU's tensors: within a batch nothing is asked for."""
    import copy

    import lane

    lane.register()
    metric = metrics.find(name)
    network = metric.network
    if name in ("dnsmos_p835", "pdnsmos"):
        signals = signals[:2]
    wanted = metric.analyse_on("cpu", signals, batched=True)
    if name in ("utmos", "sim_wavlm", "sim_ecapa"):
        monkeypatch.setitem(networks._loaded, (network.name, "lane"), copy.deepcopy(network.on("cpu")).to("lane"))
    network.on("lane")
    asked = []

    def run(model, batch, run=network.run):
        lane.State.asked.clear()
        found = run(model, batch)
        asked.extend(lane.State.asked)
        return found

    monkeypatch.setitem(network.__dict__, "run", run)
    _assert_equal(metric.analyse_on("lane", signals), wanted, 1e-4)
    # Their packages make windows and masks on the host, and bring them over as they are.
    assert asked == [] or name in ("distillmos", "sim_ecapa")
    assert "aten::_local_scalar_dense" not in asked
    networks._loaded.pop((network.name, "lane"))


DEVICE_NETWORKS = ("utmos", "sim_wavlm", "sim_ecapa", "distillmos", "sim_resemblyzer")


# Of packed sequences, which UTMOS makes of mixed lengths, the meta device knows nothing.
@pytest.mark.parametrize(
    ("name", "mixed"), [(name, mixed) for name in DEVICE_NETWORKS for mixed in (False, True) if (name, mixed) != ("utmos", True)]
)
def test_no_tensor_stays_behind_on_the_cpu(name, mixed, loaded, monkeypatch):
    """The meta device refuses tensors of the CPU, and every step that would have to wait for a value."""
    import copy

    # SpeechBrain turns autocast off around its features, and autocast does not know the meta device.
    monkeypatch.setattr("torch.amp.custom_fwd", lambda forward, **_: forward)
    network = metrics.find(name).network
    model = network.on("cpu")
    if name == "distillmos":
        model = type(model)(copy.deepcopy(model.network).to("meta"), model.silence.to("meta"))
    else:
        model = copy.deepcopy(model).to("meta")
    if name == "sim_resemblyzer":
        batch = Batch(torch.zeros(3, 160, 40, device="meta"), (160,) * 3)
    elif mixed:
        sizes = (20_000, 16_000, 9_000)
        batch = Batch(torch.zeros(3, 20_000, device="meta"), sizes, torch.tensor(sizes, device="meta"))
    else:
        batch = Batch(torch.zeros(3, 20_000, device="meta"), (20_000,) * 3)
    with torch.inference_mode():
        found = network.run(model, batch)
    assert found.device.type == "meta" and found.shape[0] == 3
