"""What the paper's ablation puts in the place of focal modulation, and the choice between them (arXiv 2502.04465, Table 6).

The paper names the alternatives and not their sizes. Here a Conformer block has heads of 64 and a kernel of 31 frames, an AMP
block is BigVGAN's (arXiv 2206.04658, section 3.2) with a kernel of 3 and dilations 1, 3 and 5, and "linear" is one linear
layer. All of them see whole signals only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..blocks.conformer import ConformerLayer
from ..blocks.fast_linear import Linear
from ..blocks.snake import Snake
from ..blocks.snake_beta import SnakeBeta
from .config import FocalOptions
from .focal import FocalBlock

HEAD = 64
KERNEL = 31
AMP_KERNEL = 3
DILATIONS = (1, 3, 5)
SLOPE = 0.1


class AmpBlock(nn.Module):
    """x <- x + conv(snake(conv_dilated(snake(x)))) for each dilation. [B, T, C] -> [B, T, C]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = (AMP_KERNEL - 1) // 2
        self.dilated = nn.ModuleList(nn.Conv1d(dim, dim, AMP_KERNEL, dilation=d, padding=d * half) for d in DILATIONS)
        self.plain = nn.ModuleList(nn.Conv1d(dim, dim, AMP_KERNEL, padding=half) for _ in DILATIONS)
        self.before = nn.ModuleList(SnakeBeta(dim) for _ in DILATIONS)
        self.between = nn.ModuleList(SnakeBeta(dim) for _ in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2)
        for before, dilated, between, plain in zip(self.before, self.dilated, self.between, self.plain, strict=True):
            y = y + plain(between(dilated(before(y))))
        return y.transpose(1, 2)


class Whole(nn.Module):
    """A block [B, T, C] -> [B, T, C] that knows no lengths, behind the interface of `FocalBlock`: signals of differing
    lengths go through it one by one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self, x: Tensor, lengths: Tensor | None, contexts: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x [B, T, C], lengths [B] frames -> [B, T, C], zero beyond them; there are no contexts."""
        if lengths is None:
            return self.inner(x), ()
        rows = [self.inner(row[None, :length])[0] for row, length in zip(x, lengths.tolist(), strict=True)]
        return torch.stack([nn.functional.pad(row, (0, 0, 0, x.shape[1] - len(row))) for row in rows]), ()


def make_block(dim: int, options: FocalOptions, window_size: int) -> nn.Module:
    """The block that `options` name, with the interface of `FocalBlock`."""
    if options.block == "focal":
        return FocalBlock(dim, options, window_size)
    if options.block == "conformer":
        return Whole(ConformerLayer(dim, max(1, dim // HEAD), 4 * dim, KERNEL))
    return Whole(AmpBlock(dim) if options.block == "amp" else Linear(dim, dim))


def make_activation(dim: int, options: FocalOptions) -> nn.Module:
    """Snake or LeakyReLU, [B, C, T] -> [B, C, T]."""
    return Snake(dim) if options.activation == "snake" else nn.LeakyReLU(SLOPE)
