"""Layers whose weight is stored as direction and length (Salimans & Kingma 2016, arXiv 1602.07868), one length per slice
of the first axis. The tensors are called `weight_v` and `weight_g`, as in the checkpoints of most neural codecs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightNormed(nn.Module):
    """A layer of torch with its weight split. `fold` puts the weight together again, for inference."""

    def split_weight(self) -> None:
        """Replace `weight` by its norm (`weight_g`) and direction (`weight_v`), over all axes but the first."""
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(weight.detach(), dim=tuple(range(1, weight.ndim)), keepdim=True))
        self.weight_v = nn.Parameter(weight.detach().clone())

    def kernel(self) -> Tensor:
        """The weight as it is used."""
        folded = self._parameters.get("weight")
        if folded is not None:
            return folded
        length = torch.linalg.vector_norm(self.weight_v, dim=tuple(range(1, self.weight_v.ndim)), keepdim=True)
        return self.weight_v * (self.weight_g / length)

    @torch.no_grad()
    def fold(self) -> None:
        """Keep the product as `weight`: faster, and no longer for training."""
        weight = self.kernel()
        self._parameters.pop("weight_g", None), self._parameters.pop("weight_v", None)
        self.register_parameter("weight", nn.Parameter(weight, requires_grad=False))


class Conv1d(WeightNormed, nn.Conv1d):
    """nn.Conv1d with weight norm; [B, C, T] -> [B, C', T']."""

    def __init__(self, *sizes: int | tuple[int, ...], **options: object) -> None:
        super().__init__(*sizes, **options)  # type: ignore[arg-type]
        self.split_weight()

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.kernel(), self.bias)


class Conv2d(WeightNormed, nn.Conv2d):
    """nn.Conv2d with weight norm; [B, C, F, T] -> [B, C', F', T']."""

    def __init__(self, *sizes: int | tuple[int, ...], **options: object) -> None:
        super().__init__(*sizes, **options)  # type: ignore[arg-type]
        self.split_weight()

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.kernel(), self.bias)


class ConvTranspose1d(WeightNormed, nn.ConvTranspose1d):
    """The first axis of its weight is the input's channels."""

    def __init__(self, *sizes: int | tuple[int, ...], **options: object) -> None:
        super().__init__(*sizes, **options)  # type: ignore[arg-type]
        self.split_weight()

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """input [B, C, T] -> [B, C', T']."""
        return F.conv_transpose1d(
            input,
            self.kernel(),
            self.bias,
            self.stride,
            self.padding,  # type: ignore[arg-type]
            self.output_padding,
            self.groups,
            self.dilation,
        )


class ConvTranspose2d(WeightNormed, nn.ConvTranspose2d):
    """The first axis of its weight is the input's channels."""

    def __init__(self, *sizes: int | tuple[int, ...], **options: object) -> None:
        super().__init__(*sizes, **options)  # type: ignore[arg-type]
        self.split_weight()

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """input [B, C, F, T] -> [B, C', F', T']."""
        return F.conv_transpose2d(
            input,
            self.kernel(),
            self.bias,
            self.stride,
            self.padding,  # type: ignore[arg-type]
            self.output_padding,
            self.groups,
            self.dilation,
        )


class Linear(WeightNormed, nn.Linear):
    """nn.Linear with weight norm; [..., C] -> [..., C']."""

    def __init__(self, *sizes: int, **options: bool) -> None:
        super().__init__(*sizes, **options)  # type: ignore[arg-type]
        self.split_weight()

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.kernel(), self.bias)


def fold_weight_norm(module: nn.Module) -> None:
    """Put every split weight of `module` together: the same outputs for less time and memory. Not for training."""
    for layer in module.modules():
        if isinstance(layer, WeightNormed):
            layer.fold()
