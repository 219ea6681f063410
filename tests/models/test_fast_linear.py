"""Layers on the processor's fast path: equal to torch's own, packed or not, and never stale."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from bench.models.blocks import fast_linear as fast


@pytest.fixture(autouse=True)
def every_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fast, "SMALLEST", 0)
    with torch.no_grad():
        yield


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def conv(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """torch's own convolution of the same weights, channel-major inside."""
    kind = nn.ConvTranspose1d if isinstance(layer, nn.ConvTranspose1d) else nn.Conv1d
    return kind.forward(layer, x.transpose(1, 2)).transpose(1, 2)


@pytest.mark.parametrize("packed", [False, True])
def test_linear(packed: bool) -> None:
    layer = fast.Linear(24, 40)
    if packed:
        fast.pack(layer)
        assert (layer.packed is not None) == fast.PACKING
    for shape in ((1, 24), (2, 3, 24), (1, 500, 24)):
        x = torch.randn(shape)
        close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 2), (10, 5), (7, 1), (2, 2)])
def test_patch_convolution(kernel: int, stride: int, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = fast.PatchConv1d(6, 16, kernel, stride)
    if packed:
        fast.pack(layer)
    x = torch.randn(2, 83, 6)
    close(layer(x), conv(layer, x))
    monkeypatch.setattr(fast, "PATCH_VALUES", 2 * kernel * 6 * 4)
    close(layer(x), conv(layer, x))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_patch_transpose(factor: int) -> None:
    layer = fast.PatchTranspose1d(6, 16, factor, factor)
    x = torch.randn(2, 11, 6)
    close(layer(x), conv(layer, x))
    fast.pack(layer)
    close(layer(x), conv(layer, x))


@pytest.mark.parametrize("frames", [1, 4, 40])
def test_depthwise_and_grouped(frames: int) -> None:
    for kernel in (7, 40):
        layer = nn.Conv1d(12, 12, kernel, groups=12)
        x = torch.randn(2, frames + kernel - 1, 12)
        close(fast.depthwise(x, layer), conv(layer, x))
        close(fast.long_depthwise(x.transpose(1, 2), layer).transpose(1, 2), conv(layer, x))
        layer = fast.GroupedConv1d(12, 24, kernel, groups=3)
        close(layer(x), conv(layer, x))


def test_packed_weights_are_dropped_when_they_would_be_stale() -> None:
    layer = fast.Linear(24, 40)
    x = torch.randn(3, 24)
    changes = (
        lambda: layer.load_state_dict({"weight": torch.randn(40, 24), "bias": torch.randn(40)}),
        lambda: layer.train(),
        lambda: layer.double().float(),
        lambda: fast.unpack(layer),
    )
    for change in changes:
        fast.pack(layer)
        change()
        assert layer.packed is None
        close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
    fast.pack(layer)
    assert copy.deepcopy(layer).packed is None


def test_gradients_take_the_plain_path() -> None:
    layer = fast.Linear(24, 40)
    fast.pack(layer)
    x = torch.randn(3, 24)
    with torch.enable_grad():
        layer(x).sum().backward()
    close(layer.weight.grad, x.sum(0).expand(40, 24))


def test_plain_path_on_request() -> None:
    layer = fast.PatchConv1d(6, 16, 3, 2)
    fast.pack(layer)
    x = torch.randn(1, 9, 6)
    with fast.plain():
        assert not fast.ONEDNN
        close(layer(x), conv(layer, x))
