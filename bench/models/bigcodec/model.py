"""BigCodec: convolutions with anti-aliased activations and LSTMs around one codebook.

Children are numbered as in the published checkpoint. Reference: BigCodec (arXiv 2409.05377v1, section 2).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.bigcodec.config import BigCodecConfig
from bench.models.bigcodec.quantizer import ResidualFactorizedVQ
from bench.models.blocks.seanet import ResidualLSTM
from bench.models.blocks.snake_beta import SnakeBeta
from bench.models.blocks.weight_norm import Conv1d, ConvTranspose1d


class ResidualUnit(nn.Module):
    """x + [activation, dilated convolution, activation, 1 x 1](x). [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            SnakeBeta(channels),
            Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation),
            SnakeBeta(channels),
            Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class DownBlock(nn.Module):
    """[B, C, T] -> [B, 2 C, T / stride]."""

    def __init__(self, channels: int, stride: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(ResidualUnit(channels, dilation) for dilation in dilations),
            SnakeBeta(channels),
            Conv1d(channels, 2 * channels, 2 * stride, stride=stride, padding=stride // 2 + stride % 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class UpBlock(nn.Module):
    """[B, C, T] -> [B, C / 2, T * stride]."""

    def __init__(self, channels: int, stride: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        padding, rest = stride // 2 + stride % 2, stride % 2
        self.block = nn.Sequential(
            SnakeBeta(channels),
            ConvTranspose1d(channels, channels // 2, 2 * stride, stride=stride, padding=padding, output_padding=rest),
            *(ResidualUnit(channels // 2, dilation) for dilation in dilations),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def _lstm(channels: int, config: BigCodecConfig) -> ResidualLSTM:
    hidden = channels // 2 if config.bidirectional else channels
    return ResidualLSTM(channels, config.lstm_layers, config.bidirectional, hidden)


class BigCodec(nn.Module):
    """The whole codec. Waves are [B, T] float32 at `config.sample_rate`, any T; all waves of a batch must have their
    true length, because convolutions look at what follows."""

    def __init__(self, config: BigCodecConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BigCodecConfig()
        width = config.width
        layers: list[nn.Module] = [Conv1d(1, width, 7, padding=3)]
        for stride in config.strides:
            layers.append(DownBlock(width, stride, config.dilations))
            width *= 2
        layers += [_lstm(width, config), SnakeBeta(width), Conv1d(width, config.dim, 3, padding=1)]
        self.encoder = nn.Sequential(*layers)
        self.quantizer = ResidualFactorizedVQ(config.codebooks, config.dim, config.codebook_size, config.code_dim)
        width = config.decoder_width
        layers = [Conv1d(config.dim, width, 7, padding=3), _lstm(width, config)]
        for stride in reversed(config.strides):
            layers.append(UpBlock(width, stride, config.dilations))
            width //= 2
        layers += [SnakeBeta(width), Conv1d(width, 1, 7, padding=3), nn.Tanh()]
        self.decoder = nn.Sequential(*layers)

    def embed(self, wave: Tensor) -> Tensor:
        """Wave [B, T] -> embeddings [B, frames, dim] before quantization.

        As the published inference does, the end is padded with 1 to hop zeros: frames = T // hop + 1.
        """
        hop = self.config.hop
        padded = F.pad(wave, (0, hop - wave.shape[-1] % hop))
        return self.encoder(padded.unsqueeze(1)).transpose(1, 2)

    def encode(self, wave: Tensor) -> Tensor:
        """Wave [B, T] -> codes [K, B, frames]."""
        return self.quantizer.encode(self.embed(wave))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [K, B, frames] -> wave [B, frames * hop] within -1 and 1."""
        return self.decode_embedding(self.quantizer.decode(codes))

    def decode_embedding(self, embedding: Tensor) -> Tensor:
        """What codes stand for, or any embeddings [B, frames, dim], -> wave [B, frames * hop]."""
        return self.decoder(embedding.transpose(1, 2)).squeeze(1)

    def tables(self) -> list[Tensor]:
        """What the indices of each codebook stand for, [codebook_size, dim]."""
        return self.quantizer.tables()
