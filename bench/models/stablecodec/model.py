"""Stable Codec: patches of the wave, strided convolutions and many transformer blocks, six values a frame, and back.

wave -> patches [B, patch, L] -> encoder -> latents [B, 6, T] -> tanh and finite scalar quantization -> decoder -> wave.
Nothing is normalised: the official program brings files to -20 LUFS first and does not send the gain; this is the network.
Module names are those of the published checkpoints (github Stability-AI/stable-audio-tools 50049e3).
"""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks import fsq
from ..blocks.weight_norm import Conv1d, ConvTranspose1d
from .config import Bottleneck, StableCodecConfig
from .transformer import Transformers


class SnakeBeta(nn.Module):
    """x + sin(exp(a) x)^2 / exp(b), one learned a and b a channel. [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(x * self.alpha.exp()[:, None]).square() / (self.beta.exp()[:, None] + 1e-9)


def _activation(config: StableCodecConfig, channels: int) -> nn.Module:
    return SnakeBeta(channels) if config.use_snake else nn.Identity()


class DilatedUnit(nn.Module):
    """x + conv(act(conv_dilated(act(x)))). [B, C, T] -> [B, C, T]."""

    def __init__(self, config: StableCodecConfig, channels: int, dilation: int) -> None:
        super().__init__()
        acts = [SnakeBeta(channels) if config.use_snake else nn.ELU() for _ in range(2)]
        dilated = Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.layers = nn.Sequential(acts[0], dilated, acts[1], Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Stage(nn.Module):
    """One stage's layers, one after the other."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> as its last layer gives it."""
        for layer in self.layers:
            x = layer(x)
        return x


def _units(config: StableCodecConfig, channels: int) -> list[nn.Module]:
    return [DilatedUnit(config, channels, dilation) for dilation in (1, 3, 9)] if config.use_dilated_conv else []


def _transformers(config: StableCodecConfig, width: int, depth: int) -> Transformers:
    return Transformers(width, depth, config.sliding_window, config.conformer, config.layer_scale)


class Encoder(nn.Module):
    """Patches [B, patch, L] -> latents [B, latent_dim, L / prod(strides)]."""

    def __init__(self, config: StableCodecConfig) -> None:
        super().__init__()
        widths = config.widths
        layers: list[nn.Module] = [Conv1d(config.patch, widths[0], 7, padding=3)]
        for inputs, outputs, stride, depth in zip(widths, widths[1:], config.strides, config.transformer_depths, strict=False):
            down = Conv1d(inputs, outputs, 2 * stride, stride, padding=ceil(stride / 2)) if stride > 1 else nn.Identity()
            layers.append(
                Stage([*_units(config, inputs), _activation(config, inputs), down, _transformers(config, outputs, depth)])
            )
        layers += [_activation(config, widths[-1]), Conv1d(widths[-1], config.latent_dim, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, patches: Tensor) -> Tensor:
        return self.layers(patches)


class Decoder(nn.Module):
    """Values [B, latent_dim, T] -> patches [B, patch, T x prod(strides)]."""

    def __init__(self, config: StableCodecConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        layers: list[nn.Module] = [Conv1d(config.latent_dim, widths[0], 3, padding=1)]
        for inputs, outputs, stride, depth in zip(
            widths, widths[1:], config.strides[::-1], config.transformer_depths[::-1], strict=False
        ):
            up: nn.Module = nn.Identity()
            if stride > 1:
                up = ConvTranspose1d(inputs, outputs, 2 * stride, stride, padding=ceil(stride / 2))
            layers.append(
                Stage([_transformers(config, inputs, depth), _activation(config, outputs), up, *_units(config, outputs)])
            )
        layers += [_activation(config, widths[-1]), Conv1d(widths[-1], config.patch, 7, padding=3, bias=False)]
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)


class StableCodec(nn.Module):
    """The codec with one of its bottlenecks."""

    def __init__(self, config: StableCodecConfig, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.config, self.bottleneck = config, bottleneck
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def latents(self, wave: Tensor) -> Tensor:
        """wave [B, N] -> latents [B, latent_dim, T]; the end is padded with zeros to whole frames."""
        wave = F.pad(wave, (0, -wave.shape[-1] % self.config.hop))
        return self.encoder(wave.unflatten(-1, (-1, self.config.patch)).transpose(1, 2))

    def quantize(self, latents: Tensor) -> Tensor:
        """latents [B, latent_dim, T] -> tokens [B, T, stages]."""
        values = latents.double() if self.bottleneck.double else latents
        return fsq.encode(self.bottleneck.stages, torch.tanh(values).transpose(1, 2))

    def dequantize(self, tokens: Tensor) -> Tensor:
        """tokens [B, T, stages] -> values [B, latent_dim, T], what the decoder takes."""
        dtype = torch.float64 if self.bottleneck.double else torch.float32
        return fsq.decode(self.bottleneck.stages, tokens, dtype).float().transpose(1, 2)

    def synthesize(self, values: Tensor) -> Tensor:
        """values [B, latent_dim, T] -> wave [B, T x hop]."""
        return self.decoder(values).transpose(1, 2).flatten(1)

    def encode(self, wave: Tensor) -> Tensor:
        """wave [B, N] -> tokens [B, T, stages], T = ceil(N / hop)."""
        return self.quantize(self.latents(wave))

    def decode(self, tokens: Tensor) -> Tensor:
        """tokens [B, T, stages] -> wave [B, T x hop]."""
        return self.synthesize(self.dequantize(tokens))
