"""Where content, prosody and speaker meet: Transformer over the content, then ConvNeXt blocks that inject the rest.

Stated by the paper: a 4-layer Transformer encoder after the content codes, then ConvNeXt blocks that inject prosody and
speaker. Inferred: width 256, 4 heads, hidden width 1024, pre-norm with a closing LayerNorm, rotary positions (they hold
for clips longer than the training crops); the prosody, each frame repeated 8 times, is added before the blocks; the
speaker vector, brought to unit mean square, gives scale and shift of each block's LayerNorm (as in Vocos); 4 blocks of
kernel 7. `attention_window` (ours, off by default) bounds how far attention looks, so that a model trained on
one-second crops meets nothing new in long clips.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import FreeCodecConfig


def rotate(x: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021) on x [B, H, T, D], D even: pairs (i, i + D/2) turn with the frame number."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and feed-forward. [B, T, D] -> [B, T, D].

    window: frames seen on each side; 0 = all.
    """

    def __init__(self, dim: int, heads: int, hidden: int, window: int = 0) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm_attention, self.norm_hidden = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.into_heads, self.from_heads = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.expand, self.contract = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        heads = self.into_heads(self.norm_attention(x)).view(batch, frames, 3, self.heads, dim // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mask = None
        if self.window and frames > self.window + 1:
            at = torch.arange(frames, device=x.device)
            mask = (at[:, None] - at[None]).abs() <= self.window
        seen = F.scaled_dot_product_attention(rotate(query), rotate(key), value, attn_mask=mask)
        x = x + self.from_heads(seen.transpose(1, 2).reshape(batch, frames, dim))
        return x + self.contract(F.gelu(self.expand(self.norm_hidden(x))))


class SpeakerConvNeXt(nn.Module):
    """ConvNeXt block whose LayerNorm takes scale and shift from the speaker. [B, T, D], [B, S] -> [B, T, D]."""

    def __init__(self, dim: int, hidden: int, kernel: int, speaker_dim: int, scale: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.style = nn.Linear(speaker_dim, 2 * dim)
        self.expand, self.contract = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.gamma = nn.Parameter(torch.full((dim,), scale))
        nn.init.normal_(self.style.weight, std=0.02)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        scale, shift = self.style(speaker)[:, None].chunk(2, dim=-1)
        y = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2)) * (1.0 + scale) + shift
        return x + self.gamma * self.contract(F.gelu(self.expand(y)))


class Fusion(nn.Module):
    """Content codes, prosody codes and speaker vector -> what the waveform decoder gets."""

    def __init__(self, config: FreeCodecConfig) -> None:
        super().__init__()
        self.pool = config.prosody_pool
        self.transformer = nn.ModuleList(
            TransformerLayer(config.dim, config.transformer_heads, config.transformer_hidden, config.attention_window)
            for _ in range(config.transformer_layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.blocks = nn.ModuleList(
            SpeakerConvNeXt(
                config.dim,
                config.convnext_hidden,
                config.convnext_kernel,
                config.speaker_dim,
                1.0 / max(1, config.convnext_blocks),
            )
            for _ in range(config.convnext_blocks)
        )

    def context(self, content: Tensor) -> Tensor:
        """Quantized content [B, N, D] -> Transformer output [B, N, D]; nothing of prosody or speaker in it."""
        for layer in self.transformer:
            content = layer(content)
        return self.norm(content)

    def inject(self, context: Tensor, prosody: Tensor, speaker: Tensor) -> Tensor:
        """context [B, N, D], prosody [B, ceil(N / 8), D], speaker [B, S] -> [B, N, D]."""
        x = context + prosody.repeat_interleave(self.pool, dim=1)[:, : context.shape[1]]
        # encoders scale their embeddings differently; only the direction speaks
        style = F.normalize(speaker.float(), dim=-1) * speaker.shape[-1] ** 0.5
        for block in self.blocks:
            x = block(x, style)
        return x
