"""Convolutions that hear their inputs less their means, so that a step of learning moves what differs, not the offset.

Weights see a gradient that holds the mean of their inputs as often as they have taps; where inputs lie around an offset
(pca carries values of spread 1 around 4), that part drowns the rest at any rate worth the name. Less the means,
weights and biases learn apart: LeCun et al., Efficient BackProp (1998), section 4.3; Montavon and Müller, Deep Boltzmann
Machines and the Centering Trick (2012).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bench.train.packing import input_means


class Centred(nn.Module):
    """Makes every nn.Conv1d of `network` that does not pad by itself hear its input less a constant; what the network
    says stays as it was, for the bias takes the constant's part.

    run: sends speech through the network; the means that its layers meet are the constants. They are buffers of this
    module, to be saved with the network while it is trained; `plain` gives the weights that need none of this.
    """

    @torch.no_grad()
    def __init__(self, network: nn.Module, run: Callable[[], object]) -> None:
        super().__init__()
        self.layers = {name: layer for name, layer in network.named_modules() if _centres(layer)}
        means = input_means(self.layers, run)
        for index, (name, layer) in enumerate(self.layers.items()):
            self.register_buffer(f"mean{index}", means[name])
            layer.bias += _heard(layer.weight, means[name])
            layer.register_forward_pre_hook(self._hook(index))

    def _hook(self, index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
        def less(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
            return (inputs[0] - getattr(self, f"mean{index}")[:, None],)

        return less

    @torch.no_grad()
    def plain(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The network's tensors, `state`, as a network without this module needs them."""
        out = dict(state)
        for index, name in enumerate(self.layers):
            mean = getattr(self, f"mean{index}")
            out[f"{name}.bias"] = state[f"{name}.bias"] - _heard(state[f"{name}.weight"], mean)
        return out


def _centres(layer: nn.Module) -> bool:
    """Zeros that a layer pads with would not be less the mean; transposed layers hear fewer taps at the ends."""
    return isinstance(layer, nn.Conv1d) and layer.bias is not None and layer.groups == 1 and not any(layer.padding)


def _heard(weight: Tensor, mean: Tensor) -> Tensor:
    """What a convolution [out, in, taps] makes of a constant input [in]."""
    return weight.float().sum(2) @ mean
