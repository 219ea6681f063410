"""SEANet encoders and decoders, over samples [B, C, T] and over the STFT grid [B, C, F, T].

Children are numbered as in the published checkpoints (activations count), so that state dicts load by name.

Reference: EnCodec (arXiv 2210.13438, section 3.1); FunCodec (arXiv 2309.07405, section 2.3, table 2).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from bench.models.blocks.padded_conv import PaddedConv, PaddedConvTranspose
from bench.models.funcodec.config import FunCodecConfig, Side


class ResidualLSTM(nn.Module):
    """x + LSTM(x) over time, [B, C, T]; runs forwards only, from a zero state."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.permute(2, 0, 1)
        out, _ = self.lstm(steps)
        return (out + steps).permute(1, 2, 0)


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


class ResidualBlock(nn.Module):
    """ELU, k x k to half the width, ELU, 1 x 1 back; plus a 1 x 1 shortcut. `dims` 1 or 2; dilation along time."""

    def __init__(self, channels: int, dims: int, side: Side, layer: int, config: FunCodecConfig) -> None:
        super().__init__()
        hidden, ratio = channels // 2, side.conv_group_ratio
        kernel, one = (side.residual_kernel_size,) * dims, (1,) * dims
        dilation = (1,) * (dims - 1) + (side.dilation_base**layer,)
        conv = partial(PaddedConv, norm=config.norm, causal=config.causal)
        groups = _groups(hidden, ratio) if dims == 2 else 1
        shortcut_groups = _groups(channels, ratio) if dims == 2 else 1
        self.block = nn.Sequential(
            nn.Identity(),  # keeps the published numbers; the ELU is the next layer's
            conv(channels, hidden, kernel, dilation=dilation, groups=groups, elu=True),
            nn.ELU(inplace=True),
            conv(hidden, channels, one, groups=groups),
        )
        self.shortcut = conv(channels, channels, one, groups=shortcut_groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x).add_(self.block(x))


def _pairs(config: FunCodecConfig) -> list[tuple[int, ...]]:
    """Strides of the decoder's stages, one number or a (frequency, time) pair each."""
    return [ratio if isinstance(ratio, tuple) else (ratio,) for ratio in config.ratios]


class Encoder(nn.Module):
    """[B, C, T] or [B, C, 257, T] -> embeddings [B, frames, dim]."""

    def __init__(self, config: FunCodecConfig) -> None:
        super().__init__()
        side, conv = config.encoder, partial(PaddedConv, norm=config.norm, causal=config.causal)
        strides = list(reversed(_pairs(config)))
        dims, width = len(strides[0]), side.width
        layers: list[nn.Module] = [conv(config.channels, width, (side.kernel_size,) * dims)]
        for stride in strides:
            layers += [ResidualBlock(width, dims, side, j, config) for j in range(side.residual_layers)]
            kernel = tuple(2 * s for s in stride)
            groups = _groups(width, side.conv_group_ratio) if dims == 2 else 1
            layers += [nn.ELU(inplace=True), conv(width, 2 * width, kernel, stride, groups=groups)]
            width *= 2
        if dims == 2:
            layers.append(DropFrequency())
        if side.lstm_layers:
            layers.append(ResidualLSTM(width, side.lstm_layers))
        layers += [nn.ELU(inplace=True), conv(width, config.dim, (side.last_kernel_size,))]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).transpose(1, 2)


class Decoder(nn.Module):
    """Embeddings [B, frames, dim] -> [B, C, T] or [B, C, 257, T]."""

    def __init__(self, config: FunCodecConfig) -> None:
        super().__init__()
        side, conv = config.decoder, partial(PaddedConv, norm=config.norm, causal=config.causal)
        upsample = partial(PaddedConvTranspose, norm=config.norm, causal=config.causal)
        strides = _pairs(config)
        dims, width = len(strides[0]), side.width * 2 ** len(strides)
        layers: list[nn.Module] = [conv(config.dim, width, (side.kernel_size,))]
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
                nn.ELU(inplace=True),
                upsample(width, width // 2, kernel, stride, groups=groups, keep=keep),
            ]
            width //= 2
            layers += [ResidualBlock(width, dims, side, j, config) for j in range(side.residual_layers)]
        layers += [nn.ELU(inplace=True), conv(width, config.channels, (side.last_kernel_size,) * dims)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.transpose(1, 2))
