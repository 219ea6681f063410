"""The check of a GPU, run with a CPU in the GPU's place; and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import data
from bench.cli import doctor, gpu
from bench.errors import BenchError
from bench.guard import guarded
from bench.metrics import MetricFailure


def test_a_cpu_computes_what_a_cpu_computes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.run("cpu", tmp_path, count=2, codecs=["focalcodec@50"], names=["sim_resemblyzer"]) == 0
    [written] = tmp_path.glob("*.md")
    text = written.read_text()
    for what in ("codec focalcodec@50 | ok", "metric sim_resemblyzer | ok", "probe | ok", "resynthesis with two lanes | ok"):
        assert what in text
    assert "tokens equal 100.00%" in text and "encode, batch 1" in text
    last = "The device computes what the CPU computes: 4 checks passed, 0 failed, 0 could not be made here."
    assert text.rstrip().endswith(last) and last in capsys.readouterr().out


def test_everything_on_a_device_that_refuses_the_cpus_tensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Codec, metrics with and without weights here, probe and both lanes, to the verdict; a planted fault turns it."""
    import lane

    from bench.engine.executors import ExecutorOptions
    from bench.engine.runner import Runner

    def runner(plan, store):  # type: ignore[no-untyped-def]
        return Runner(plan, store, lane.LaneExecutor(ExecutorOptions(1, (plan.device,))) if plan.lanes else None)

    lane.register()
    monkeypatch.setattr(gpu, "Runner", runner)
    monkeypatch.setattr(gpu, "SIZES", (2,))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))  # no weights of ECAPA there
    speech = data.load("embedded").limit(1).utterances
    found = {one.what: one for one in gpu.checks("lane", speech, ["focalcodec@50"], ["sim_resemblyzer", "sim_ecapa"])}
    assert [one.state for one in found.values()] == ["ok"] * 5, [one.found for one in found.values()]
    assert found["metric sim_ecapa"].found.startswith("random weights of the true shapes;")
    assert found["metric sim_resemblyzer"].found.startswith("its own weights;")
    assert "tokens equal 100.00%" in found["codec focalcodec@50"].found and "it learns" in found["probe"].found
    assert "5 checks passed, 0 failed, 0 could not" in gpu.verdict(list(found.values()))
    from bench.metrics import networks

    assert not any(name == "spkrec-ecapa-voxceleb" for name, _ in networks._loaded), "random weights score nothing afterwards"
    monkeypatch.setattr(gpu, "TOKENS", 1.01)
    [codec, *_] = gpu.checks("lane", speech, ["focalcodec@50"], [])
    assert codec.state == "bad" and "does not compute" in gpu.verdict([codec])


def test_a_device_that_computes_otherwise_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Codes and scores that differ are each caught; a check that breaks leaves the others theirs."""
    speech = data.load("embedded").limit(1).utterances
    real = gpu.metrics.find("sim_resemblyzer")
    wrong = type("Wrong", (), {"name": "wrong", "rate_hz": 16000, "device": True})()
    wrong.place, wrong.weights, wrong.network = (lambda device: device), (lambda: ()), None
    wrong.analyse_on = lambda device, signals, batched=None: [
        {"embedding": np.ones(3) * (1.0 + 0.01 * bool(batched))} for _ in signals
    ]
    assert gpu._metric(wrong, "cpu", speech).state == "bad"
    elsewhere = type("Elsewhere", (), {"name": "elsewhere", "place": lambda self, device: "cpu"})()
    assert gpu._metric(elsewhere, "cuda:0", speech).state == "skipped"
    broken = gpu._told("it", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert broken.state == "bad" and "ZeroDivisionError" in broken.found
    assert "does not compute" in gpu.verdict([broken]) and real.device
    assert gpu._apart({"a": 1.0}, MetricFailure("silence")) == float("inf")
    assert gpu._apart({"transcript": "a"}, {"transcript": "b"}) == float("inf")
    assert gpu._apart({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}) == pytest.approx(0.25)


def test_a_failed_check_is_named_in_the_verdict_and_ends_in_exit_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [gpu.Check("codec a@1", "ok", "x"), gpu.Check("metric b", "bad", "y"), gpu.Check("probe", "bad", "z")]
    monkeypatch.setattr(gpu, "checks", lambda *_, **__: iter(found))
    assert gpu.run("cpu", tmp_path, count=1) == 1
    last = "does not compute what the CPU computes: 1 checks passed, 2 failed (metric b; probe), 0 could not be made here."
    [written] = tmp_path.glob("*.md")
    assert written.read_text().rstrip().endswith(last) and last in capsys.readouterr().out
    monkeypatch.setattr(gpu, "checks", lambda *_, **__: iter([found[0], gpu.Check("metric c", "skipped", "no weights")]))
    assert gpu.run("cpu", tmp_path, count=1) == 0, "what could not be made is told, and is no fault of the device"


def test_whisper_is_checked_without_its_tokenizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its encoder's features and greedy ids, with random weights (small ones here); a device that shifts them is told."""
    import lane

    from bench.metrics.networks import whisper

    lane.register()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    tiny = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    monkeypatch.setattr(
        whisper, "SMALL", {**tiny, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "num_mel_bins": 80, "vocab_size": 51865}
    )
    speech = data.load("embedded").limit(1).utterances
    metric = gpu.metrics.find("dwer_whisper_small")
    good = gpu._metric(metric, "lane", speech)
    assert good.state == "ok" and good.found.startswith("random weights of the true shapes;"), good.found
    encoded = whisper.Drawn.encoded
    monkeypatch.setattr(whisper.Drawn, "encoded", lambda self, waves: encoded(self, waves) * (1.0 if self.bank.is_cpu else 1.01))
    assert gpu._metric(metric, "lane", speech).state == "bad"


def test_without_a_gpu_one_line_and_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bench.tasks.options._cuda_devices", lambda wanted, flag: 0)
    assert guarded(lambda: doctor.main(["--gpu"])) == 2, "nothing was checked; 1 is for a device that computes otherwise"
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1
    assert "cuda: this machine has no CUDA device; nothing was checked: run this where" in told.err
    with pytest.raises(BenchError, match="device"):
        gpu.run("tpu")
