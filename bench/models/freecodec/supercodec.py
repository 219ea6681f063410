"""SuperCodec's encoder and decoder, which FreeCodec takes over ("SuperCodec", repository Supercodec 592f9d5).

Every block looks at its input twice: it re-creates the input from its own output and codes what was lost in a second
branch; a gate over the whole clip then mixes the two. Convolutions see only the past at the block borders, but the
residual stacks look both ways and the gate averages over time, so the whole is not causal.

One departure: the reference takes the gate of batch item 0 for all items. Here each item has its own;
`strict=True` brings the leak back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from bench.models.blocks.residual_vq import ResidualVQ


class LeftConv(nn.Module):
    """Conv1d whose padding (kernel - stride samples) is a reflection on the left. [B, I, T] -> [B, O, T / stride]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.pad = kernel - stride
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.pad, 0), mode="reflect"))


class UpConv(nn.Module):
    """Transposed convolution of kernel 2 x stride, cut to [B, O, T x stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[..., : x.shape[-1] * self.stride]


class ResidualStack(nn.Module):
    """x <- x + conv(leaky(x)) for each dilation; kernel 3, zero padding on both sides. [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)) for dilation in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, 0.1))
        return x


def _on_one_frame(conv: nn.Conv1d, x: Tensor) -> Tensor:
    # a kernel of 3 over a single zero-padded frame [B, C] touches only its middle tap
    return F.linear(x, conv.weight[:, :, 1], conv.bias)


class Gate(nn.Module):
    """Mixes two branches channel by channel, with weights from the clip's time average."""

    def __init__(self, channels: int, strict: bool) -> None:
        super().__init__()
        self.strict = strict
        self.squeeze = nn.Conv1d(channels, channels, 3, padding=1)
        self.heads = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """first, second [B, C, T] -> [B, C, T]."""
        average = (first + second).mean(-1)
        if self.strict:
            average = average[:1]
        hidden = F.relu(_on_one_frame(self.squeeze, average))
        logits = torch.stack([_on_one_frame(head, hidden) for head in self.heads])  # type: ignore[arg-type]
        weights = logits.softmax(0).unsqueeze(-1)
        return weights[0] * first + weights[1] * second


class DownBlock(nn.Module):
    """Encoder block. [B, I, T] -> [B, O, T / stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int, strict: bool = False) -> None:
        super().__init__()
        self.down_first = LeftConv(inputs, outputs, 2 * stride, stride)
        self.down_second = LeftConv(inputs, outputs, 2 * stride, stride)
        self.up_back = UpConv(outputs, inputs, stride)
        self.lost_stack = ResidualStack(inputs, (1, 3))
        self.out_stack = ResidualStack(outputs, (1, 3, 5))
        self.gate = Gate(outputs, strict)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down_first(x)
        second = self.down_second(self.lost_stack(x - self.up_back(first)))
        return self.out_stack(self.gate(first, second))


class UpBlock(nn.Module):
    """Decoder block. [B, I, T] -> [B, O, T x stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int, strict: bool = False) -> None:
        super().__init__()
        self.up_first = UpConv(inputs, outputs, stride)
        self.up_second = UpConv(inputs, outputs, stride)
        self.down_back = LeftConv(outputs, inputs, 2 * stride, stride)
        self.lost_stack = ResidualStack(inputs, (1, 3))
        self.out_stack = ResidualStack(outputs, (1, 3, 5))
        self.gate = Gate(outputs, strict)

    def forward(self, x: Tensor) -> Tensor:
        first = self.up_first(x)
        second = self.up_second(self.lost_stack(x - self.down_back(first)))
        return self.out_stack(self.gate(first, second))


class Encoder(nn.Sequential):
    """Wave [B, 1, T] -> latent [B, dim, T / prod(strides)]; T a multiple of prod(strides)."""

    def __init__(self, channels: int, multipliers: Sequence[int], strides: Sequence[int], dim: int, strict: bool = False) -> None:
        widths = [channels, *(channels * multiplier for multiplier in multipliers)]
        blocks = [
            DownBlock(inputs, outputs, stride, strict)
            for inputs, outputs, stride in zip(widths, widths[1:], strides, strict=False)
        ]
        super().__init__(LeftConv(1, widths[0], 7), *blocks, LeftConv(widths[-1], dim, 3))


class Decoder(nn.Sequential):
    """Latent [B, dim, N] with N >= 7 -> wave [B, 1, N x prod(strides)], unbounded. `strides` as for the encoder."""

    def __init__(self, channels: int, multipliers: Sequence[int], strides: Sequence[int], dim: int, strict: bool = False) -> None:
        widths = [channels, *(channels * multiplier for multiplier in multipliers)][::-1]
        blocks = [
            UpBlock(inputs, outputs, stride, strict)
            for inputs, outputs, stride in zip(widths, widths[1:], strides[::-1], strict=False)
        ]
        super().__init__(LeftConv(dim, widths[0], 7), *blocks, LeftConv(widths[-1], 1, 7))


class SuperCodec(nn.Module):
    """The whole of SuperCodec: encoder, residual quantiser, decoder. Kept for parity with its code.

    channels: base width. dim: latent width D. codes, books: size and number of the codebooks.
    """

    def __init__(
        self,
        channels: int = 32,
        multipliers: Sequence[int] = (2, 4, 8, 16),
        strides: Sequence[int] = (2, 4, 5, 8),
        dim: int = 256,
        codes: int = 1024,
        books: int = 2,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(channels, multipliers, strides, dim, strict)
        self.quantizer = ResidualVQ(books, codes, dim, decay=0.8, kmeans_iterations=10, renew_below=0.0)
        self.decoder = Decoder(channels, multipliers, strides, dim, strict)
        self.hop = 1
        for stride in strides:
            self.hop *= stride

    def encode(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """wave [B, T] -> (latent [B, D, N], indices [B, N, books]), N = T // hop; the rest of T is cut off."""
        wave = wave[:, : wave.shape[1] // self.hop * self.hop]
        latent = self.encoder(wave[:, None])
        return latent, self.quantizer.encode(latent.transpose(1, 2)).movedim(0, -1)

    def decode(self, indices: Tensor) -> Tensor:
        """indices [B, N, books] -> wave [B, N x hop]."""
        return self.decoder(self.quantizer.decode(indices.movedim(-1, 0)).transpose(1, 2))[:, 0]


# published names -> ours
_RENAMES = (
    ("rq.layers.", "quantizer.levels."),
    ("._codebook.", "."),
    (".skn.fc.0.", ".gate.squeeze."),
    (".skn.fcs.", ".gate.heads."),
    (".res_one.convs.", ".lost_stack.convs."),
    (".res_four.convs1.", ".out_stack.convs."),
)
_SIDE_NAMES = {
    "encoder.": ((".downs_one.", ".down_first."), (".downs_two.", ".down_second."), (".ups_one.", ".up_back.")),
    "decoder.": ((".ups_one.", ".up_first."), (".ups_two.", ".up_second."), (".downs_one.", ".down_back.")),
}


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the published SuperCodec code under our names, for `SuperCodec.load_state_dict`."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key
        for prefix, pairs in _SIDE_NAMES.items():
            if key.startswith(prefix):
                for old, new in pairs:
                    name = name.replace(old, new)
        for old, new in _RENAMES:
            name = name.replace(old, new)
        if key.startswith("rq."):
            name = name.replace(".initted", ".inited")
            # the published buffers carry a leading axis for several heads, always 1 here
            value = value if name.endswith(".inited") else value.squeeze(0)
        renamed[name] = value
    return renamed
