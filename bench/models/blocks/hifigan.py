"""HiFi-GAN's generator (Kong et al. 2020, arXiv 2010.05646, section 2.2) with the choices that codecs made since.

Transposed convolutions raise the rate; after each, residual blocks of several kernels run side by side and are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .weight_norm import Conv1d, ConvTranspose1d

SLOPE = 0.1
Padding = Literal["zeros", "reflect"]


class ResidualBlock(nn.Module):
    """x <- x + conv(leaky(conv_dilated(leaky(x)))) for each dilation. [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], padding: Padding = "zeros") -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2, padding_mode=padding) for d in dilations
        )
        self.convs2 = nn.ModuleList(
            Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2, padding_mode=padding) for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Generator(nn.Module):
    """Features [B, inputs, T] -> wave [B, 1, T x prod(strides)] within [-1, 1].

    channels: width before the first stage; each stage halves it. padding: of all convolutions but the transposed ones.
    last_slope: of the LeakyReLU before the last convolution. added_at: the width at whose stage a vector given to
    `forward` is added to every frame; 0 means that there is none.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        strides: Sequence[int],
        kernels: Sequence[int],
        block_kernels: Sequence[int] = (3, 7, 11),
        dilations: Sequence[int] = (1, 3, 5),
        *,
        padding: Padding = "zeros",
        last_slope: float = SLOPE,
        added_at: int = 0,
    ) -> None:
        super().__init__()
        self.last_slope, self.added_at = last_slope, added_at
        widths = [channels >> stage for stage in range(len(strides) + 1)]
        self.conv_pre = Conv1d(inputs, channels, 7, padding=3, padding_mode=padding)
        self.ups = nn.ModuleList(
            ConvTranspose1d(wide, narrow, kernel, stride, padding=(kernel - stride) // 2)
            for wide, narrow, kernel, stride in zip(widths, widths[1:], kernels, strides, strict=False)
        )
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, kernel, dilations, padding) for width in widths[1:] for kernel in block_kernels
        )
        self.conv_post = Conv1d(widths[-1], 1, 7, padding=3, padding_mode=padding)
        self.branches, self.widths = len(block_kernels), widths[1:]

    def forward(self, x: Tensor, vector: Tensor | None = None) -> Tensor:
        """x [B, inputs, T], vector [B, added_at] -> [B, 1, T x prod(strides)]."""
        x = self.conv_pre(x)
        for stage, (up, width) in enumerate(zip(self.ups, self.widths, strict=True)):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = [self.resblocks[stage * self.branches + branch] for branch in range(self.branches)]
            total = blocks[0](x)
            for block in blocks[1:]:
                total = total + block(x)
            x = total / self.branches
            if vector is not None and width == self.added_at:
                x = x + vector[..., None]
        return torch.tanh(self.conv_post(F.leaky_relu(x, self.last_slope)))
