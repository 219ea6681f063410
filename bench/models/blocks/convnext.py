"""ConvNeXt block over time (Liu et al. 2022, arXiv 2201.03545), as used by the Vocos and WaveNeXt decoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .context import Fill, extend_left
from .lengths import zero_padding


class ConvNeXtBlock(nn.Module):
    """x + gamma * pw2(GELU(pw1(LayerNorm(dwconv(x))))), LayerNorm with eps 1e-6.

    causal_fill None pads with zeros on both sides; otherwise only on the left, with what it names.
    """

    def __init__(self, dim: int, ffn_dim: int, kernel_size: int, scale: float, causal_fill: Fill | None) -> None:
        super().__init__()
        self.causal_fill = causal_fill
        self.kernel_size = kernel_size
        self.dwconv = nn.Conv1d(dim, dim, kernel_size, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, ffn_dim)
        self.pwconv2 = nn.Linear(ffn_dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), scale))

    def forward(
        self, x: Tensor, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x [B, T, C], context [B, C, kernel - 1] -> output [B, T, C] and the next context (None if not causal)."""
        y, context = pad_and_convolve(self.dwconv, x, context, lengths, self.causal_fill)
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(y))))
        return x + self.gamma * y, context


def pad_and_convolve(
    conv: nn.Conv1d, x: Tensor, context: Tensor | None, lengths: Tensor | None, causal_fill: Fill | None
) -> tuple[Tensor, Tensor | None]:
    """Stride-1 convolution over time that keeps the number of frames.

    x [B, T, C] -> [B, T, C'], with the next left context [B, C, kernel - 1] where it is causal.
    Not causal: zeros on both sides, the extra one of an even kernel on the right; frames beyond ``lengths`` [B]
    count as those zeros.
    """
    kernel = conv.kernel_size[0]
    if causal_fill is not None:
        y, following = extend_left(x.transpose(1, 2), kernel - 1, context, causal_fill)
        return conv(y).transpose(1, 2), following
    left = (kernel - 1) // 2
    y = F.pad(zero_padding(x, lengths).transpose(1, 2), (left, kernel - 1 - left))
    return conv(y).transpose(1, 2), None
