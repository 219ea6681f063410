"""Two-dimensional convolutions in the forms a CPU runs fastest: same weights, same numbers up to rounding.

Convolutions with many groups of few channels leave vector units idle: oneDNN handles 4 -> 2 channels per group at a tenth of
the rate of 16 -> 8, and transposed ones scatter. In inference on a CPU the layers here therefore

- merge groups until each has at least eight channels in and out, filling with zeros (four times the multiply-adds in less
  than half the time), or, for 1 x 1 kernels, multiply the matrices of all groups at once;
- run a transposed convolution whose kernel is twice its stride as an ordinary one that makes all phases of the output as
  channels (sub-pixel form, Shi et al. 2016, arXiv 1609.05158);
- sum shifted matrix products where few channels come out.

Training, other devices and operator counting take torch's own path.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

LEAST = 8
FEW = 4


def plain_inference(x: Tensor) -> bool:
    """Whether x is on a CPU, no gradient is wanted and nobody watches."""
    # Under a dispatch mode someone counts or traces operators: they shall see the network's own.
    return x.device.type == "cpu" and not torch.is_grad_enabled() and _get_current_dispatch_mode() is None


def merged_groups(groups: int, inputs: int, outputs: int) -> int:
    """How many groups to merge into one, for `inputs` and `outputs` channels each: a power of two dividing `groups`."""
    wanted = max(ceil(LEAST / inputs), ceil(LEAST / outputs))
    merged = 1
    while merged < wanted and groups % (2 * merged) == 0:
        merged *= 2
    return merged


def merge(weight: Tensor, groups: int, merged: int) -> Tensor:
    """weight [O, I, ...] of `groups` groups -> [O, merged * I, ...] of groups // merged, zero off the diagonal blocks."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    blocks = weight.reshape(groups // merged, merged, outputs, inputs, *weight.shape[2:])
    wide = weight.new_zeros(groups // merged, merged, outputs, merged, inputs, *weight.shape[2:])
    for index in range(merged):
        wide[:, index, :, index] = blocks[:, index]
    return wide.reshape(weight.shape[0], merged * inputs, *weight.shape[2:])


def pair_rows(weight: Tensor) -> Tensor:
    """weight [O, I, F, T] -> [2 O, I, F + 1, T], which at a stride of two rows makes one row and the next, side by side."""
    return torch.stack([F.pad(weight, (0, 0, 0, 1)), F.pad(weight, (0, 0, 1, 0))], dim=1).flatten(0, 1)


class _Prepared:
    """A rearranged weight, made again when the weight it came from has changed."""

    def __init__(self) -> None:
        self.source: Tensor | None = None
        self.version = (0, 0)
        self.weight = torch.empty(0)

    def get(self, source: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        version = source.data_ptr(), 0 if source.is_inference() else source._version
        if self.source is not source or self.version != version:
            self.source, self.version, self.weight = source, version, make(source.detach())
        return self.weight

    def __deepcopy__(self, memo: object) -> _Prepared:
        return _Prepared()


class CPUConv2d(nn.Conv2d):
    """`nn.Conv2d` without padding, [B, C, F, T]."""

    def __init__(self, *args: int | tuple[int, ...], **options: int | tuple[int, ...]) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._prepared, self._paired = _Prepared(), _Prepared()
        high = self.kernel_size[0]
        self.pairs = {*self.stride, *self.dilation} == {1} and self._merged(2) * (high + 1) < self._merged(1) * high
        """Whether an even number of rows is made in pairs: where that multiplies fewer zeros."""

    def _merged(self, rows: int) -> int:
        return merged_groups(self.groups, self.in_channels // self.groups, self.out_channels // self.groups * rows)

    def forward(self, input: Tensor) -> Tensor:
        if not plain_inference(input):
            return super().forward(input)
        if self.groups > 1:
            point = max(*self.kernel_size, *self.stride) == 1
            return self._points(input) if point else self._grouped(input)
        if self.out_channels <= FEW and max(self.kernel_size) > 1 and {*self.stride, *self.dilation} == {1}:
            return self._few_out(input)
        return super().forward(input)

    def _grouped(self, x: Tensor) -> Tensor:
        rows = x.shape[2] - self.kernel_size[0] + 1
        if self.pairs and rows % 2 == 0:
            return self.in_pairs(x, rows)
        merged = self._merged(1)
        weight = self._prepared.get(self.weight, lambda weight: merge(weight, self.groups, merged))
        return F.conv2d(x, weight, self.bias, self.stride, dilation=self.dilation, groups=self.groups // merged)

    def in_pairs(self, x: Tensor, rows: int) -> Tensor:
        """The first `rows` rows of frequency of what comes out, where x gives as many or, if `rows` is odd, one more."""
        merged = self._merged(2)
        weight = self._paired.get(self.weight, lambda weight: merge(pair_rows(weight), self.groups, merged))
        bias = None if self.bias is None else self.bias.repeat_interleave(2)
        pairs = F.conv2d(x, weight, bias, (2, 1), groups=self.groups // merged).unflatten(1, (-1, 2))
        out = x.new_empty(len(x), self.out_channels, rows, pairs.shape[-1])
        out[:, :, ::2], out[:, :, 1::2] = pairs[:, :, 0], pairs[:, :, 1, : rows // 2]
        return out

    def _points(self, x: Tensor) -> Tensor:
        """1 x 1: one matrix product per group."""
        weight = self.weight.view(self.groups, self.out_channels // self.groups, -1)
        bias = x.new_zeros(1) if self.bias is None else self.bias.view(self.groups, -1, 1)
        flat = x.reshape(x.shape[0], self.groups, weight.shape[2], -1)
        if len(flat) > 1:
            return (torch.matmul(weight, flat) + bias).view(x.shape[0], self.out_channels, *x.shape[2:])
        return torch.baddbmm(bias, weight, flat[0]).view(x.shape[0], self.out_channels, *x.shape[2:])

    def _few_out(self, x: Tensor) -> Tensor:
        """One product for all taps, then their sum, each shifted to its place."""
        high, wide = self.kernel_size
        batch, channels, rows, columns = x.shape
        table = self.weight.permute(2, 3, 0, 1).reshape(-1, channels)
        taps = (table @ x.flatten(2)).view(batch, high * wide, self.out_channels, rows, columns)
        rows, columns = rows - high + 1, columns - wide + 1
        total = x.new_zeros(batch, self.out_channels, rows, columns)
        if self.bias is not None:
            total += self.bias[:, None, None]
        for index in range(high * wide):
            i, j = divmod(index, wide)
            total += taps[:, index, :, i : i + rows, j : j + columns]
        return total


class CPUConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` without padding, [B, C, F, T]."""

    def __init__(self, *args: int | tuple[int, ...], **options: int | tuple[int, ...]) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._prepared = _Prepared()

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        twice = all(k == 2 * s for k, s in zip(self.kernel_size, self.stride, strict=True))
        if self.groups == 1 or not twice or not plain_inference(input):
            return super().forward(input)
        return self._phases(input)

    def _phases(self, x: Tensor) -> Tensor:
        """Output step q * stride + phase sees inputs q and q - 1 alone: a 2 x 2 convolution makes all phases of q."""
        high, wide = self.stride
        per_out = self.out_channels // self.groups
        outputs = per_out * high * wide
        merged = merged_groups(self.groups, self.in_channels // self.groups, outputs)

        def arrange(weight: Tensor) -> Tensor:
            taps = weight.view(self.groups, -1, per_out, 2, high, 2, wide).flip(3, 5)
            kernel = taps.permute(0, 2, 4, 6, 1, 3, 5).reshape(self.groups * outputs, -1, 2, 2)
            return merge(kernel, self.groups, merged)

        weight = self._prepared.get(self.weight, arrange)
        bias = None if self.bias is None else self.bias.repeat_interleave(high * wide)
        out = F.conv2d(F.pad(x, (1, 1, 1, 1)), weight, bias, groups=self.groups // merged)
        batch, _, rows, columns = out.shape
        out = out.view(batch, self.out_channels, high, wide, rows, columns).permute(0, 1, 4, 2, 5, 3)
        return out.reshape(batch, self.out_channels, rows * high, columns * wide)
