"""Probes on a device that refuses the CPU's tensors: losses and gradients equal the CPU's, whichever side lengths are on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import lane
import numpy as np
import pytest
import torch

from bench.probes import text
from bench.probes.examples import Example, batches
from bench.probes.inputs import Inputs
from bench.probes.networks import Classifier, Recogniser
from bench.probes.restoration import settings as restoration
from bench.probes.restoration.pairs import Pairs
from bench.probes.restoration.training import Head
from bench.probes.settings import Settings
from bench.probes.synthesis import patterns, sampling
from bench.probes.synthesis import settings as synthesis
from bench.probes.synthesis.training import Trainer
from bench.probes.training import Probe


def waits(step: Callable[[], object]) -> list[str]:
    """What the host waited for the device for during `step`."""
    lane.State.asked.clear()
    step()
    return list(lane.State.asked)


LOSS = ["aten::_local_scalar_dense"]
"""The one value of a training step that the host reads."""
TINY = Settings("tiny", hidden=6, embedding_dim=5, dropout=0.0, batch=4, learning_rate=1e-2)


def _inputs() -> Inputs:
    random = np.random.default_rng(0)
    made = Inputs("toy", 50.0, sizes=(8, 8), tables=(None, None))
    made.tokens = {f"u{n}": random.integers(0, 8, (20 + 3 * n, 2)).astype(np.int32) for n in range(6)}
    return made


@pytest.mark.parametrize(("task", "target", "classes"), [("asr", "ab c", 29), ("si", 1, 3)])
def test_steps_on_a_device_equal_the_cpus(task: str, target: str | int, classes: int) -> None:
    lane.register()
    inputs = _inputs()
    examples = [Example(name, target) for name in inputs.tokens]
    losses = {}
    for device in ("cpu", "lane"):
        probe = Probe(task, inputs, classes, TINY, 0, device)
        losses[device] = [probe.step(batch) for _ in range(3) for batch in batches(examples, inputs, 4, device)]
        losses[device].append(probe._evaluate(examples)[1])
    [batch, _] = batches(examples, inputs, 4, "lane")
    assert waits(lambda: probe.step(batch)) == LOSS
    assert len(waits(lambda: probe._evaluate(examples))) == 3, "the classes of each batch and the loss"
    assert losses["lane"] == pytest.approx(losses["cpu"], rel=1e-4)
    assert losses["cpu"][-1] < losses["cpu"][0]


@pytest.mark.parametrize("output", ["linear", "table"])
def test_steps_of_a_head_on_a_device_equal_the_cpus(output: Literal["linear", "table"]) -> None:
    lane.register()
    inputs = _inputs()
    if output == "table":  # one of all binary codes, one of others
        corners = (2.0 * ((np.arange(8)[:, None] >> np.arange(3)) & 1) - 1).astype(np.float32)
        inputs.tables = (corners, corners * np.linspace(1, 2, 8, dtype=np.float32)[:, None])
    targets = {name: np.stack([rows[::-1], (rows + 3) % 8]) for name, rows in inputs.tokens.items()}
    rows = {name: (len(some),) for name, some in inputs.tokens.items()}
    made = Pairs(inputs, targets, inputs.sizes, inputs.tables, (2,), rows)
    small = restoration.Settings(
        "tiny", dim=8, attention_heads=2, ffn=16, layers=1, kernel=3, dropout=0.0, learning_rate=1e-2, output=output, width=8
    )
    examples = [Example(name, "") for name in inputs.tokens]
    losses = {}
    for device in ("cpu", "lane"):
        head = Head(made, small, 0, device)
        losses[device] = [head.step(batch) for _ in range(3) for batch in batches(examples, inputs, 4, device)]
        losses[device] += head.validate(examples)
    [batch, _] = batches(examples, inputs, 4, "lane")
    assert waits(lambda: head.step(batch)) == LOSS
    assert losses["lane"] == pytest.approx(losses["cpu"], rel=1e-3)


@pytest.mark.parametrize("pattern", patterns.PATTERNS)
def test_a_decoder_on_a_device_learns_and_says_what_it_does_on_the_cpu(pattern: Literal["flatten", "delay"]) -> None:
    lane.register()
    inputs, voices = _inputs(), Inputs("voices", 0.0)
    voices.features = {
        name: np.random.default_rng(n).normal(size=(1, 7)).astype(np.float32) for n, name in enumerate(inputs.tokens)
    }
    small = synthesis.Settings(
        "tiny", layers=1, width=8, feed_forward=16, text_width=8, embedding_dim=5, dropout=0.0, pattern=pattern,
        learning_rate=1e-2, batch=4, clip=1.0, length="stop",
    )  # fmt: skip
    examples = [Example(name, "ab c") for name in inputs.tokens]
    losses, said = {}, {}
    for device in ("cpu", "lane"):
        made = Trainer(inputs, voices, small, 0, device)
        losses[device] = [made.step(batch) for _ in range(3) for batch in batches(examples, inputs, 4, device)]
        losses[device] += made.validate(examples)
        [batch, _] = batches(examples, inputs, 4, device)
        # Before its layers transformers asks, once, whether several sequences lie in one row.
        assert waits(lambda: made.step(batch)) == (2 * LOSS if device == "lane" else [])  # noqa: B023
        voice, letters = torch.from_numpy(voices.features["u0"][0]).to(device), torch.tensor(text.encode("ab c"), device=device)
        said[device] = sampling.generate(made.network.eval(), voice, letters, small, sampling.generators(3, "x"), 6)
    assert losses["lane"] == pytest.approx(losses["cpu"], rel=1e-3)
    assert len(said["cpu"]) == 3
    for one, other in zip(said["cpu"], said["lane"], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [Recogniser, Classifier])
def test_lengths_may_be_on_either_side(make: type) -> None:
    lane.register()
    inputs = _inputs()
    torch.manual_seed(0)
    network = make(inputs, 5, replace(TINY, pooling="attention")).eval()
    tokens = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(rows).long() for rows in inputs.tokens.values()], batch_first=True)
    lengths = torch.tensor([len(rows) for rows in inputs.tokens.values()])
    with torch.no_grad():
        wanted = network(tokens, None, lengths)
        network.to("lane")
        there, of_device = tokens.to("lane"), lengths.to("lane")
        lane.State.asked.clear()
        found = [network(there, None, some) for some in (lengths, of_device)]
        assert lane.State.asked == []
    for one in found:
        torch.testing.assert_close(one.cpu(), wanted, atol=1e-5, rtol=1e-5)
