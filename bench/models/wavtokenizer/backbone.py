"""From codewords to features of a spectrum: convolutional and attention layers over the whole utterance, then ConvNeXt
blocks.

Reference: WavTokenizer (arXiv 2408.16532v3, section 3.3); the residual and attention blocks are those of latent diffusion
(Rombach et al. 2022, arXiv 2112.10752).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.convnext import ConvNeXtBlock, pad_frames
from bench.models.blocks.fast_linear import PatchConv1d

GROUPS = 32
KERNEL = 7


def _group_norm(channels: int) -> nn.GroupNorm:
    """Its statistics span all time, so padding a wave would change every frame."""
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """x + conv(swish(norm(conv(swish(norm(x)))))), kernels of 3. [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _group_norm(channels), _group_norm(channels)
        self.conv1 = nn.Conv1d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden)))


class AttentionBlock(nn.Module):
    """x + attention(norm(x)): one head as wide as the signal, no positions, the whole utterance. [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _group_norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv1d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        query, key, value = (layer(normed).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(mixed.squeeze(1).transpose(1, 2))


class Backbone(nn.Module):
    """Codewords [B, T, dim_in] -> features [B, T, dim]. The layers over the utterance stand before the first norm."""

    def __init__(self, dim_in: int, dim: int, ffn_dim: int, layers: int) -> None:
        super().__init__()
        self.embed = PatchConv1d(dim_in, dim, KERNEL)
        self.pos_net = nn.Sequential(
            ResidualBlock(dim), ResidualBlock(dim), AttentionBlock(dim), ResidualBlock(dim), ResidualBlock(dim), _group_norm(dim)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.convnext = nn.ModuleList(ConvNeXtBlock(dim, ffn_dim, KERNEL, 1 / layers, None) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(dim, eps=1e-6)

    def positioned(self, x: Tensor) -> Tensor:
        """What enters the ConvNeXt blocks, before its norm: [B, dim, T]."""
        padded, _ = pad_frames(x, KERNEL, None, None, None)
        return self.pos_net(self.embed(padded).transpose(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.positioned(x).transpose(1, 2))
        for block in self.convnext:
            x, _ = block(x)
        return self.final_layer_norm(x)
