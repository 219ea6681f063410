"""Convolutions that pad by themselves, in one and two dimensions, with their normalisation: the SEANet kit.

Time is the last axis: [B, C, T] or [B, C, F, T]. Padding reflects; a strided convolution pads the end of time so that
no sample is lost, and a transposed one trims what its kernel spills. Sizes given as pairs are (frequency, time).

Reference: EnCodec (arXiv 2210.13438, section 3.1) and its two-dimensional form in FunCodec (arXiv 2309.07405).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks import weight_norm
from bench.models.blocks.cpu_conv2d import CPUConv2d, CPUConvTranspose2d, plain_inference

Norm = Literal["time_group_norm", "weight_norm", "none"]
Pads = Sequence[tuple[int, int]]


def reflect_pad(x: Tensor, pads: Pads) -> Tensor:
    """Reflects the last len(pads) axes by (before, after), axes in order. An axis shorter than its reflection is first
    lengthened by zeros at its end and cut again afterwards."""
    if all(before <= 0 and after <= 0 for before, after in pads):
        return x
    axes = range(-len(pads), 0)
    missing = [max(0, max(pair) - x.shape[axis] + 1) for axis, pair in zip(axes, pads, strict=True)]
    if any(missing):
        x = F.pad(x, [n for gap in reversed(missing) for n in (0, gap)])
    x = F.pad(x, [n for pair in reversed(pads) for n in pair], mode="reflect")
    for axis, gap in zip(axes, missing, strict=True):
        if gap:
            x = x.narrow(axis, 0, x.shape[axis] - gap)
    return x


def end_padding(length: int, kernel: int, stride: int, total: int) -> int:
    """Samples to add to the end of time so that the last stride is a full one."""
    frames = math.ceil((length - kernel + total) / stride + 1)
    return (frames - 1) * stride + (kernel - total) - length


_KINDS: dict[tuple[int, bool, bool], type[nn.Module]] = {
    (1, False, False): nn.Conv1d,
    (1, False, True): weight_norm.Conv1d,
    (1, True, False): nn.ConvTranspose1d,
    (1, True, True): weight_norm.ConvTranspose1d,
    (2, False, False): CPUConv2d,
    (2, False, True): weight_norm.Conv2d,
    (2, True, False): CPUConvTranspose2d,
    (2, True, True): weight_norm.ConvTranspose2d,
}


def _make(dims: int, transposed: bool, norm: Norm, *sizes: int | tuple[int, ...], **options: object) -> nn.Module:
    return _KINDS[dims, transposed, norm == "weight_norm"](*sizes, **options)


def _norm(norm: Norm, channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels, eps=1e-5) if norm == "time_group_norm" else nn.Identity()


class _ConvAndNorm(nn.Module):
    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class _TransposedAndNorm(nn.Module):
    def __init__(self, convtr: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.convtr = convtr
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convtr(x))


class PaddedConv(nn.Module):
    """Reflecting, length-preserving (up to the stride) convolution over [B, C, T] (dims 1) or [B, C, F, T] (dims 2),
    then the norm. T becomes ceil(T / stride). `elu` applies that to the input first: after the padding, whose copy can be
    written over, which spares a large buffer."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] | None = None,
        dilation: tuple[int, ...] | None = None,
        *,
        groups: int = 1,
        norm: Norm = "none",
        causal: bool = False,
        elu: bool = False,
    ) -> None:
        super().__init__()
        self.elu = elu
        dims = len(kernel)
        stride = stride or (1,) * dims
        dilation = dilation or (1,) * dims
        self.kernel, self.stride, self.causal = kernel, stride, causal
        self.total = tuple((k - 1) * d - (s - 1) for k, s, d in zip(kernel, stride, dilation, strict=True))
        options = {"stride": stride, "dilation": dilation, "groups": groups}
        self.conv = _ConvAndNorm(
            _make(dims, False, norm, channels_in, channels_out, kernel, **options), _norm(norm, channels_out)
        )

    def pads(self, length: int) -> list[tuple[int, int]]:
        """(before, after) for each axis, for `length` steps of time."""
        total = self.total[-1]
        extra = end_padding(length, self.kernel[-1], self.stride[-1], total)
        after = total // 2
        if self.causal:
            time = (total, extra)
        elif len(self.kernel) == 1:
            time = (total - after, after + extra)
        else:  # the two-dimensional form has always put the extra steps at the start
            time = (total - after + extra, after)
        return [(t - t // 2, t // 2) for t in self.total[:-1]] + [time]

    def forward(self, x: Tensor) -> Tensor:
        conv, pads = self.conv.conv, self.pads(x.shape[-1])
        if isinstance(conv, CPUConv2d) and conv.pairs and x.shape[2] % 2 and plain_inference(x):
            # It makes two rows of frequency at a time, and here one more than there are.
            (before, after), time = pads
            return self.conv.norm(conv.in_pairs(self._padded(x, [(before, after + 1), time]), x.shape[2]))
        return self.conv(self._padded(x, pads))

    def _padded(self, x: Tensor, pads: Pads) -> Tensor:
        padded = reflect_pad(x, pads)
        return F.elu(padded, inplace=padded is not x) if self.elu else padded


class PaddedConvTranspose(nn.Module):
    """Transposed convolution, norm on the untrimmed output, then the trim; T becomes T * stride.

    `keep` gives, per axis, how many of the trimmed (before, after) steps to keep.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        *,
        groups: int = 1,
        norm: Norm = "none",
        causal: bool = False,
        trim_right_ratio: float = 1.0,
        keep: Pads | None = None,
    ) -> None:
        super().__init__()
        dims = len(kernel)
        self.kernel, self.stride, self.causal = kernel, stride, causal
        self.trims: list[tuple[int, int]] = []
        for axis, (k, s) in enumerate(zip(kernel, stride, strict=True)):
            total = k - s
            right = math.ceil(total * trim_right_ratio) if causal and axis == dims - 1 else total // 2
            kept = keep[axis] if keep else (0, 0)
            self.trims.append((max(total - right - kept[0], 0), max(right - kept[1], 0)))
        self.convtr = _TransposedAndNorm(
            _make(dims, True, norm, channels_in, channels_out, kernel, stride=stride, groups=groups),
            _norm(norm, channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T], or [B, C, F, T] -> the same with C' channels, T * stride."""
        x = self.convtr(x)
        for axis, (left, right) in zip(range(-len(self.trims), 0), self.trims, strict=True):
            x = x.narrow(axis, left, x.shape[axis] - left - right)
        return x
