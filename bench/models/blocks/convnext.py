"""ConvNeXt block over time (Liu et al. 2022, arXiv 2201.03545), as used by the Vocos and WaveNeXt decoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .context import Fill, extend_left
from .fast_linear import Linear, depthwise, gelu
from .lengths import zero_padding


class ConvNeXtBlock(nn.Module):
    """x + gamma * pw2(GELU(pw1(LayerNorm(dwconv(x))))), LayerNorm with eps 1e-6.

    causal_fill None pads with zeros on both sides; otherwise only on the left, with what it names.
    """

    def __init__(self, dim: int, ffn_dim: int, kernel_size: int, scale: float, causal_fill: Fill | None) -> None:
        super().__init__()
        self.causal_fill = causal_fill
        self.dwconv = nn.Conv1d(dim, dim, kernel_size, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = Linear(dim, ffn_dim)
        self.pwconv2 = Linear(ffn_dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor, context: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x [B, T, C], context [B, kernel - 1, C] -> output [B, T, C] and the next context (None if not causal)."""
        y, context = pad_frames(x, self.dwconv.kernel_size[0], context, lengths, self.causal_fill)
        y = self.pwconv2(gelu(self.pwconv1(self.norm(depthwise(y, self.dwconv)))))
        return x + self.gamma * y, context


def pad_frames(
    x: Tensor, kernel: int, context: Tensor | None, lengths: Tensor | None, causal_fill: Fill | None
) -> tuple[Tensor, Tensor | None]:
    """Pad x [B, T, C] to T + kernel - 1 frames, so that a convolution of that kernel keeps T frames.

    Not causal: zeros on both sides, the extra one of an even kernel on the right; frames beyond ``lengths`` [B] are
    set to such zeros. Causal: on the left; then the next context [B, kernel - 1, C] is returned too.
    """
    if causal_fill is not None:
        return extend_left(x, kernel - 1, context, causal_fill)
    left = (kernel - 1) // 2
    return F.pad(zero_padding(x, lengths), (0, 0, left, kernel - 1 - left)), None
