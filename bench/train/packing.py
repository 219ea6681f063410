"""Weights in 8 bits whose layers still say on average what they said: biases take up what the rounding shifted.

Bias correction as in Nagel et al. 2019 (arXiv 1906.04721, section 4.2), with means measured on speech.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bench.models.blocks.int8 import pack, unpack

LAYERS = (nn.Conv1d, nn.ConvTranspose1d, nn.Linear)


@torch.no_grad()
def pack_corrected(
    network: nn.Module, state: dict[str, Tensor], keep: tuple[str, ...], run: Callable[[], object]
) -> dict[str, Tensor]:
    """`pack(state, keep, grouped=True)`, with the bias of every layer of `network` moved by the mean error of its rounded weight.

    state: tensors of `network` under its own names. run: sends speech through the network, which shows every layer's
    mean input. Layers without bias stay as they are.
    """
    layers = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, LAYERS) and layer.bias is not None and f"{name}.weight" in state
    }
    means = input_means(layers, run)
    packed = pack(state, keep, grouped=True)
    rounded = unpack(packed)
    for name, mean in means.items():
        layer = network.get_submodule(name)
        error = state[f"{name}.weight"].float() - rounded[f"{name}.weight"].float()
        if isinstance(layer, nn.ConvTranspose1d):  # [in, out, taps]; each output hears one tap in `stride`
            shift = torch.einsum("iok,i->o", error, mean) / layer.stride[0]
        else:
            shift = error.flatten(2).sum(2) @ mean if error.ndim == 3 else error @ mean
        packed[f"{name}.bias"] = (state[f"{name}.bias"].float() + shift).half()
    return packed


def input_means(layers: Mapping[str, nn.Module], run: Callable[[], object]) -> dict[str, Tensor]:
    """The mean of each input channel [C] that the layers meet in `run`, by the layers' names."""
    means: dict[str, Tensor] = {}
    hooks = [layer.register_forward_pre_hook(_note(means, name, isinstance(layer, nn.Linear))) for name, layer in layers.items()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return means


def _note(means: dict[str, Tensor], name: str, features_last: bool) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach().float()
        means[name] = x.flatten(0, -2).mean(0) if features_last else x.mean((0, 2))

    return hook
