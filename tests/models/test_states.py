"""Networks without values: their shapes, and what making them costs."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

from bench.models.blocks.states import blank

LOADS = """
import sys
from bench import adapters, cards
from bench.fetch import weights
for name in sys.argv[1:]:
    point = cards.resolve(name)
    adapters.load(point, weights.resolve(point, "nano"), "cpu")
loaded = [name for name in ("torch._dynamo", "sympy") if name in sys.modules]
assert not loaded, loaded
"""


def test_shapes_are_the_networks_and_nothing_is_drawn() -> None:
    def make() -> nn.Module:
        return nn.ModuleDict({"a": nn.Embedding(5, 3), "b": nn.LSTM(3, 4), "c": nn.Conv1d(4, 2, 3), "d": nn.LayerNorm(7)})

    before = torch.random.get_rng_state()
    with blank():
        empty = make()
    assert torch.equal(torch.random.get_rng_state(), before)
    wanted = make().state_dict()
    assert {key: value.shape for key, value in empty.state_dict().items()} == {key: v.shape for key, v in wanted.items()}
    assert all(value.is_meta for value in empty.state_dict().values())
    empty.load_state_dict(wanted, assign=True)
    assert torch.equal(empty["a"](torch.tensor([2])), wanted["a.weight"][2:3])
    assert nn.Linear(2, 2).weight.abs().sum() > 0, "outside of the context weights are drawn as ever"


def test_windows_have_a_length_alone() -> None:
    with blank():
        assert torch.hann_window(12).shape == torch.hann_window(window_length=12).shape == (12,)
    assert torch.hann_window(12).sum() > 0


def test_codecs_load_without_torchs_compiler() -> None:
    """It would take a second and 70 MiB of every process."""
    codecs = ("focalcodec@50", "focalcodec@50+int8", "freqcodec@2")
    ran = subprocess.run([sys.executable, "-c", LOADS, *codecs], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-500:]
