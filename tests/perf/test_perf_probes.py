"""Training throughput of the probes on one thread: a step on a batch of three-second utterances of 50 tokens/s."""

from __future__ import annotations

import numpy as np
import pytest

from bench.probes import text
from bench.probes.examples import Example, batches
from bench.probes.inputs import Inputs
from bench.probes.settings import settings
from bench.probes.training import Probe

pytestmark = pytest.mark.usefixtures("one_thread")


def probe(task: str, protocol: str) -> tuple[Probe, list[Example]]:
    """A probe on one codebook of 8192 with 13 dimensions (FocalCodec's), lengths of 120 to 180 frames."""
    rng = np.random.default_rng(0)
    table = rng.choice([-1.0, 1.0], (8192, 13)).astype(np.float32)
    inputs = Inputs("toy", 50.0, sizes=(8192,), tables=(table,))
    chosen = settings(protocol, task)
    for index in range(chosen.batch):
        inputs.tokens[f"u{index}"] = rng.integers(0, 8192, (int(rng.integers(120, 181)), 1)).astype(np.int32)
    target: str | int = "she quietly joined both pieces of cloth" if task == "asr" else 1
    classes = text.CLASSES if task == "asr" else 28
    return Probe(task, inputs, classes, chosen, 0), [Example(name, target) for name in inputs.tokens]


@pytest.mark.parametrize("task", ["asr", "si", "ser"])
@pytest.mark.parametrize("protocol", ["embedded", "focalcodec"])
def test_training_step(benchmark, task: str, protocol: str) -> None:  # type: ignore[no-untyped-def]
    trained, examples = probe(task, protocol)
    [batch] = batches(examples, trained.inputs, len(examples), "cpu")
    benchmark.extra_info["frames"] = int(batch.lengths.sum())
    loss = benchmark.pedantic(trained.step, (batch,), rounds=5, warmup_rounds=1)
    assert loss < float("inf")


def test_prediction(benchmark) -> None:  # type: ignore[no-untyped-def]
    trained, examples = probe("asr", "embedded")
    benchmark.extra_info["frames"] = sum(trained.inputs.length(example.utterance) for example in examples)
    assert len(benchmark.pedantic(trained.predict, (examples,), rounds=5, warmup_rounds=1)) == len(examples)
