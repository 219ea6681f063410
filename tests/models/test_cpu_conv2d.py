"""Convolutions rearranged for the CPU: the same numbers as torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.models.blocks.cpu_conv2d import CPUConv2d, CPUConvTranspose2d, merge, merged_groups, pair_rows


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "stride", "groups"),
    [
        (32, 16, (3, 3), (1, 1), 8),
        (16, 32, (1, 1), (1, 1), 4),
        (12, 24, (8, 4), (4, 2), 6),
        (6, 6, (3, 3), (1, 1), 3),
        (3, 8, (3, 3), (1, 1), 1),
        (8, 3, (3, 5), (1, 1), 1),
        (8, 8, (3, 3), (1, 1), 1),
    ],
)
def test_convolution(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int], groups: int) -> None:
    torch.manual_seed(0)
    layer = CPUConv2d(inputs, outputs, kernel, stride, groups=groups)
    x = torch.randn(2, inputs, 20, 17)
    plain = nn.Conv2d.forward(layer, x)
    with torch.no_grad():
        fast = layer(x)
    assert fast.is_contiguous()
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
    assert torch.equal(layer(x), plain)  # with gradients: torch's own


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "groups"),
    [(16, 8, (4, 1), 8), (16, 8, (4, 2), 2), (32, 16, (4, 2), 4), (6, 3, (2, 3), 3), (8, 4, (4, 1), 1)],
)
def test_transposed_convolution(inputs: int, outputs: int, stride: tuple[int, int], groups: int) -> None:
    torch.manual_seed(0)
    kernel = (2 * stride[0], 2 * stride[1])
    layer = CPUConvTranspose2d(inputs, outputs, kernel, stride, groups=groups)
    x = torch.randn(2, inputs, 5, 7)
    plain = nn.ConvTranspose2d.forward(layer, x)
    with torch.no_grad():
        fast = layer(x)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)


def test_changed_weights_are_noticed() -> None:
    layer = CPUConv2d(16, 16, (3, 3), groups=8)
    x = torch.randn(1, 16, 6, 6)
    with torch.no_grad():
        before = layer(x)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        torch.testing.assert_close(layer(x), 2 * before)
    layer.load_state_dict({"weight": torch.zeros(16, 2, 3, 3), "bias": torch.zeros(16)}, assign=True)
    with torch.no_grad():
        assert layer(x).abs().max() == 0


def test_merging_keeps_groups_apart() -> None:
    assert merged_groups(8, 4, 2) == 4
    assert merged_groups(8, 16, 16) == 1
    assert merged_groups(6, 1, 1) == 2
    wide = merge(torch.ones(4, 1, 1, 1), 4, 2)
    assert wide[:, :, 0, 0].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("rows", [1, 2, 7, 8])
def test_rows_in_pairs(rows: int) -> None:
    torch.manual_seed(0)
    layer = CPUConv2d(32, 16, (3, 3), groups=8)
    assert layer.pairs
    x = torch.randn(2, 32, rows + 2 + rows % 2, 17)
    plain = nn.Conv2d.forward(layer, x)[:, :, :rows]
    with torch.no_grad():
        fast = layer.in_pairs(x, rows)
    assert fast.is_contiguous()
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)


def test_a_pair_is_a_row_and_the_next() -> None:
    both = pair_rows(torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1))
    assert both[:, 0, :, 0].tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]


def test_layers_without_zeros_to_spare_make_no_pairs() -> None:
    assert not CPUConv2d(32, 32, (3, 3), groups=2).pairs
    assert not CPUConv2d(32, 16, (3, 3), (2, 1), groups=8).pairs
    assert not CPUConv2d(8, 8, (3, 3)).pairs


def test_operator_counts_are_the_networks_own() -> None:
    layer = CPUConv2d(16, 16, (3, 3), groups=8)
    x = torch.randn(1, 16, 12, 12)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() == 2 * 16 * 2 * 9 * 100
