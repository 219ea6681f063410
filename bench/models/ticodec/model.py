"""TiCodec: frame codes, and eight codes a whole utterance for what does not change in time; HiFi-Codec is the same
network without those.

wave -> strided encoder -> group-residual quantiser -> HiFi-GAN. The encoder's second stage also feeds the global branch,
whose vector the generator adds to every frame where its width is the same. Module names are those of the published
checkpoints (github y-ren16/TiCodec 13af0eb, yangdongchao/AcademiCodec b6ac134).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.hifigan import SLOPE, Generator, ResidualBlock
from ..blocks.residual_vq import nearest
from ..blocks.weight_norm import Conv1d

# The activation before the encoder's last convolution keeps torch's default slope.
LAST_SLOPE = 0.01


@dataclass(frozen=True)
class TiCodecConfig:
    """Dimensions. `strides`, `kernels` and `block_kernels` are the generator's; the encoder mirrors them.

    channels: width of the encoder's first convolution (32 when published); the latent has 2^stages times as many values.
    groups x layers codebooks of `codes` entries: groups side by side, layers one on what the other left.
    global_codes: codes once an utterance, 0 for HiFi-Codec.
    """

    sample_rate: int = 24000
    strides: tuple[int, ...] = (8, 5, 4, 2)
    kernels: tuple[int, ...] = (16, 11, 8, 4)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    channels: int = 32
    groups: int = 1
    layers: int = 1
    codes: int = 1024
    global_codes: int = 8

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.kernels):
            raise ValueError(f"{len(self.strides)} strides need as many kernels, not {len(self.kernels)}")
        if self.layers not in (1, 2, 3, 4):
            raise ValueError(f"layers is {self.layers}; published quantisers have tables for 1 to 4")
        if self.dim % self.groups:
            raise ValueError(f"{self.dim} values do not split into {self.groups} groups")
        if self.global_codes and self.global_dim % self.global_codes:
            raise ValueError(f"{self.global_dim} values do not split into {self.global_codes} global codes")

    @property
    def hop(self) -> int:
        """Samples of one frame."""
        return prod(self.strides)

    @property
    def dim(self) -> int:
        """Values of one frame's latent."""
        return self.channels << len(self.strides)

    @property
    def global_dim(self) -> int:
        """Values of the global vector: the encoder's width after half of its stages."""
        return self.channels << (len(self.strides) // 2)

    @property
    def frame_rate_hz(self) -> float:
        """Token frames per second."""
        return self.sample_rate / self.hop


TICODEC = TiCodecConfig()
HIFICODEC = dataclasses.replace(TICODEC, sample_rate=16000, groups=2, layers=2, global_codes=0)


class Streams(NamedTuple):
    """What is sent. local [B, N, layers x groups], layer by layer; once: [B, global_codes], or None."""

    local: Tensor
    once: Tensor | None


class GlobalTokenEncoder(nn.Module):
    """Features [B, C, T] -> one vector [B, C] of the whole signal."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = ((dim, dim // 2), (dim // 2, dim // 2), (dim // 2, dim))
        layers = [nn.Conv1d(inputs, outputs, 3, padding=1, bias=False) for inputs, outputs in widths]
        self.conv = nn.Sequential(*(part for layer in layers for part in (layer, nn.LeakyReLU(SLOPE))))
        self.fn = nn.Sequential(nn.Linear(dim, dim), nn.LeakyReLU(SLOPE), nn.BatchNorm1d(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(self.conv(x).mean(-1))


class Encoder(nn.Module):
    """Wave [B, 1, T] -> latent [B, dim, N] and the global vector [B, global_dim] (None without a global branch)."""

    def __init__(self, config: TiCodecConfig) -> None:
        super().__init__()
        widths = [config.channels << stage for stage in range(len(config.strides) + 1)]
        kernels = config.block_kernels[::-1]
        self.conv_pre = Conv1d(1, widths[0], 7, padding=3)
        self.normalize = nn.ModuleList(nn.GroupNorm(width // 16, width, eps=1e-6) for width in widths[1:] for _ in kernels)
        self.ups = nn.ModuleList(
            Conv1d(inputs, outputs, kernel, stride, padding=(kernel - stride) // 2)
            for inputs, outputs, kernel, stride in zip(
                widths, widths[1:], config.kernels[::-1], config.strides[::-1], strict=False
            )
        )
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, kernel, config.dilations) for width in widths[1:] for kernel in kernels
        )
        self.conv_post = nn.Conv1d(widths[-1], config.dim, 3, padding=1)
        self.branches, self.global_stage = len(kernels), len(config.strides) // 2 - 1
        self.GlobalTokenEncoder = GlobalTokenEncoder(config.global_dim) if config.global_codes else None

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor | None]:
        x, vector = self.conv_pre(wave), None
        for stage, down in enumerate(self.ups):
            x = down(F.leaky_relu(x, SLOPE))
            # Published so: the sum so far is normalised again with each block that joins it.
            total: Tensor | None = None
            for index in range(stage * self.branches, (stage + 1) * self.branches):
                y = self.resblocks[index](x)
                total = self.normalize[index](y if total is None else total + y)
            assert total is not None
            x = total / self.branches
            if stage == self.global_stage and self.GlobalTokenEncoder is not None:
                vector = self.GlobalTokenEncoder(x)
        return self.conv_post(F.leaky_relu(x, LAST_SLOPE)), vector


class Table(nn.Module):
    """One codebook [V, D]."""

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, dim)

    def encode(self, x: Tensor) -> Tensor:
        """x [..., D] -> index of the nearest entry [...]."""
        return nearest(x.reshape(-1, x.shape[-1]), self.embedding.weight).reshape(x.shape[:-1])


class Quantizer(nn.Module):
    """Group-residual quantisation of frames [B, N, dim], and group quantisation of the global vector."""

    def __init__(self, config: TiCodecConfig) -> None:
        super().__init__()
        self.groups = config.groups
        self.names = [f"quantizer_modules{'' if layer == 0 else layer + 1}" for layer in range(config.layers)]
        for name in self.names:
            tables = (Table(config.codes, config.dim // config.groups) for _ in range(config.groups))
            self.add_module(name, nn.ModuleList(tables))
        if config.global_codes:
            self.quantizer_modules_globaltokens = nn.ModuleList(
                Table(config.codes, config.global_dim // config.global_codes) for _ in range(config.global_codes)
            )

    def tables(self, name: str) -> list[Table]:
        """The codebooks kept under `name`, first to last."""
        return list(getattr(self, name))

    def encode(self, latent: Tensor) -> Tensor:
        """latent [B, N, dim] -> indices [B, N, layers x groups]."""
        found = []
        for name in self.names:
            tables = self.tables(name)
            indices = [table.encode(part) for table, part in zip(tables, latent.chunk(self.groups, -1), strict=True)]
            words = [table.embedding(index) for table, index in zip(tables, indices, strict=True)]
            latent = latent - torch.cat(words, -1)
            found += indices
        return torch.stack(found, -1)

    def decode(self, indices: Tensor) -> Tensor:
        """indices [B, N, layers x groups] -> latent [B, N, dim]."""
        columns = iter(indices.unbind(-1))
        layers = [torch.cat([table.embedding(next(columns)) for table in self.tables(name)], -1) for name in self.names]
        total = layers[0]
        for layer in layers[1:]:
            total = total + layer
        return total

    def encode_global(self, vector: Tensor) -> Tensor:
        """vector [B, global_dim] -> indices [B, global_codes]."""
        tables = self.tables("quantizer_modules_globaltokens")
        return torch.stack([t.encode(part) for t, part in zip(tables, vector.chunk(len(tables), -1), strict=True)], -1)

    def decode_global(self, indices: Tensor) -> Tensor:
        """indices [B, global_codes] -> vector [B, global_dim]."""
        tables = self.tables("quantizer_modules_globaltokens")
        return torch.cat([t.embedding(index) for t, index in zip(tables, indices.unbind(-1), strict=True)], -1)


class TiCodec(nn.Module):
    """The codec. Frames follow each strided convolution's own count, which is at most samples / hop."""

    def __init__(self, config: TiCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = Quantizer(config)
        self.generator = Generator(
            config.dim,
            config.dim,
            config.strides,
            config.kernels,
            config.block_kernels,
            config.dilations,
            added_at=config.global_dim if config.global_codes else 0,
        )

    def encode(self, wave: Tensor) -> Streams:
        """wave [B, T] -> `Streams` of N frames (T / hop, or one less where the kernels reach beyond the end)."""
        latent, vector = self.encoder(wave[:, None])
        once = None if vector is None else self.quantizer.encode_global(vector)
        return Streams(self.quantizer.encode(latent.transpose(1, 2)), once)

    def decode(self, streams: Streams) -> Tensor:
        """`Streams` of N frames -> wave [B, N x hop]."""
        latent = self.quantizer.decode(streams.local).transpose(1, 2)
        vector = None if streams.once is None else self.quantizer.decode_global(streams.once)
        return self.generator(latent, vector)[:, 0]
