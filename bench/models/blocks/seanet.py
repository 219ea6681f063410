"""SEANet encoders and decoders, over samples [B, C, T] and over the STFT grid [B, C, F, T].

Children are numbered as in the published checkpoints (activations count), so that state dicts load by name.

References: EnCodec (arXiv 2210.13438, section 3.1); FunCodec (arXiv 2309.07405, section 2.3, table 2); SpeechTokenizer
(arXiv 2308.16692), whose encoder runs its LSTM in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.models.blocks.cpu_conv2d import plain_inference
from bench.models.blocks.normed_points import Points, normed_sum
from bench.models.blocks.padded_conv import Norm, PaddedConv, PaddedConvTranspose
from bench.models.blocks.snake import Snake

Activation = Literal["elu", "snake"]

LARGE = 1 << 19
"""Values of a map whose passes through memory cost more than finding the statistics of its norm beforehand."""


@dataclass(frozen=True)
class Side:
    """The settings that encoder and decoder have each for itself.

    A group ratio r > 0 makes the two-dimensional convolutions grouped by channels // 2 // r (1: as near to depthwise as
    the design gets); 0 or less leaves them dense.
    """

    width: int = 32
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    residual_layers: int = 1
    dilation_base: int = 2
    lstm_layers: int = 2
    conv_group_ratio: int = -1
    transposed_group_ratio: int = -1
    bidirectional: bool = False
    activation: Activation = "elu"


class ResidualLSTM(nn.Module):
    """x + LSTM(x) over time, [B, C, T], from a zero state; `hidden` is C unless given. Bidirectional: the outputs of both
    directions lie side by side, 2 `hidden` channels, and x is repeated to as many."""

    def __init__(self, channels: int, layers: int, bidirectional: bool = False, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or channels
        self.lstm = nn.LSTM(channels, hidden, layers, bidirectional=bidirectional)
        self.repeats = hidden * (2 if bidirectional else 1) // channels

    def forward(self, x: Tensor) -> Tensor:
        steps = x.permute(2, 0, 1)
        out, _ = self.lstm(steps)
        if self.repeats > 1:
            steps = torch.cat([steps] * self.repeats, dim=-1)
        return (out + steps).permute(1, 2, 0)


def _activation(side: Side, channels: int) -> nn.Module:
    return Snake(channels) if side.activation == "snake" else nn.ELU(inplace=True)


class DropFrequency(nn.Module):
    """[B, C, 1, T] -> [B, C, T]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(2)


class AddFrequency(nn.Module):
    """[B, C, T] -> [B, C, 1, T]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(2)


def _groups(channels: int, ratio: int) -> int:
    """Groups of a convolution whose narrower side has `channels`, by the toolkit's rule."""
    if ratio <= 0:
        return 1
    groups = channels // 2 // ratio
    if groups < 1:
        raise ValueError(f"group ratio {ratio} leaves no group for {channels} channels; widen the network")
    return groups


def _points(layer: PaddedConv, x: Tensor) -> Points:
    pair: Any = layer.conv
    return Points(pair.conv, pair.norm, x)


class ResidualBlock(nn.Module):
    """Activation, k x k to half the width, activation, 1 x 1 back; plus a 1 x 1 shortcut. `dims` 1 or 2; dilation along
    time."""

    def __init__(self, channels: int, dims: int, side: Side, layer: int, norm: Norm, causal: bool) -> None:
        super().__init__()
        hidden, ratio = channels // 2, side.conv_group_ratio
        kernel, one = (side.residual_kernel_size,) * dims, (1,) * dims
        dilation = (1,) * (dims - 1) + (side.dilation_base**layer,)
        conv = partial(PaddedConv, norm=norm, causal=causal)
        elu = side.activation == "elu"
        groups = _groups(hidden, ratio) if dims == 2 else 1
        shortcut_groups = _groups(channels, ratio) if dims == 2 else 1
        self.block = nn.Sequential(
            # An ELU is left to the next layer; the identity keeps the published numbers.
            nn.Identity() if elu else _activation(side, channels),
            conv(channels, hidden, kernel, dilation=dilation, groups=groups, elu=elu),
            _activation(side, hidden),
            conv(hidden, channels, one, groups=groups),
        )
        self.shortcut = conv(channels, channels, one, groups=shortcut_groups)
        self.pointwise = groups > 1 and norm == "time_group_norm"

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T], or [B, C, F, T] -> the same shape."""
        if self.pointwise and x.numel() > LARGE and plain_inference(x):
            last: Any = self.block[-1]
            return normed_sum(_points(self.shortcut, x), _points(last, self.block[:-1](x)), x.shape)
        return self.shortcut(x).add_(self.block(x))


class Encoder(nn.Module):
    """[B, C, T] or [B, C, 257, T] -> embeddings [B, frames, dim]. `strides` in the order in which they are applied."""

    def __init__(
        self,
        channels: int,
        dim: int,
        strides: Sequence[tuple[int, ...]],
        side: Side,
        norm: Norm = "weight_norm",
        causal: bool = False,
    ) -> None:
        super().__init__()
        conv = partial(PaddedConv, norm=norm, causal=causal)
        dims, width = len(strides[0]), side.width
        layers: list[nn.Module] = [conv(channels, width, (side.kernel_size,) * dims)]
        for stride in strides:
            layers += [ResidualBlock(width, dims, side, j, norm, causal) for j in range(side.residual_layers)]
            kernel = tuple(2 * s for s in stride)
            groups = _groups(width, side.conv_group_ratio) if dims == 2 else 1
            layers += [_activation(side, width), conv(width, 2 * width, kernel, stride, groups=groups)]
            width *= 2
        if dims == 2:
            layers.append(DropFrequency())
        if side.lstm_layers:
            layers.append(ResidualLSTM(width, side.lstm_layers, side.bidirectional))
            width *= 2 if side.bidirectional else 1
        layers += [_activation(side, width), conv(width, dim, (side.last_kernel_size,))]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).transpose(1, 2)


class Decoder(nn.Module):
    """Embeddings [B, frames, dim] -> [B, C, T] or [B, C, 257, T]. `strides` in the order in which they are applied. The
    LSTM runs forwards only."""

    def __init__(
        self,
        channels: int,
        dim: int,
        strides: Sequence[tuple[int, ...]],
        side: Side,
        norm: Norm = "weight_norm",
        causal: bool = False,
    ) -> None:
        super().__init__()
        conv = partial(PaddedConv, norm=norm, causal=causal)
        upsample = partial(PaddedConvTranspose, norm=norm, causal=causal)
        dims, width = len(strides[0]), side.width * 2 ** len(strides)
        layers: list[nn.Module] = [conv(dim, width, (side.kernel_size,))]
        if side.lstm_layers:
            layers.append(ResidualLSTM(width, side.lstm_layers))
        if dims == 2:
            layers.append(AddFrequency())
        for stage, stride in enumerate(strides):
            kernel = tuple(2 * s for s in stride)
            groups = _groups(width, side.transposed_group_ratio) if dims == 2 else 1
            # An STFT has one bin more than a power of two: the last stage keeps one of those its kernel spills.
            keep = ((0, 1), (0, 0)) if dims == 2 and stage == len(strides) - 1 else None
            layers += [
                _activation(side, width),
                upsample(width, width // 2, kernel, stride, groups=groups, keep=keep),
            ]
            width //= 2
            layers += [ResidualBlock(width, dims, side, j, norm, causal) for j in range(side.residual_layers)]
        layers += [_activation(side, width), conv(width, channels, (side.last_kernel_size,) * dims)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.transpose(1, 2))
