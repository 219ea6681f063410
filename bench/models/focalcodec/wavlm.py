"""WavLM encoder (Chen et al. 2022, arXiv 2110.13900) cut after its first layers, plain or causal.

Waveform -> 7 strided convolutions (320 samples a frame) -> positional convolution -> pre-norm transformer layers with
gated relative position bias. There is no norm after the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.context import extend_left, last
from ..blocks.fast_linear import GroupedConv1d, Linear, PatchConv1d, gelu
from ..blocks.lengths import zero_padding
from .attention import GatedAttention
from .config import EncoderConfig
from .position_bias import PositionBias
from .spans import Spans

# Frames of features made at a time by the strided convolutions: their first layers hold 64 x 512 values a frame.
FRONT_FRAMES = 32
DEVICE_FRONT_FRAMES = 100


@dataclass(frozen=True)
class EncoderState:
    """What the causal encoder remembers between chunks.

    frames: frames so far. contexts: last inputs of the strided convolutions, [B, kernel - 1, C] each, then those of the
    positional convolution. cache: per layer the keys and values of up to window_size - 1 frames, [B, H, P, D].
    """

    frames: int
    contexts: tuple[Tensor, ...]
    cache: tuple[tuple[Tensor, Tensor], ...]


def front_frames(sig: Tensor) -> int:
    """Frames of features made at a time."""
    return FRONT_FRAMES if sig.is_cpu else DEVICE_FRONT_FRAMES


class ConvLayer(nn.Module):
    """Strided convolution without bias, LayerNorm over channels, GELU."""

    def __init__(self, in_dim: int, out_dim: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.conv = PatchConv1d(in_dim, out_dim, kernel_size, stride, bias=False)
        self.norm = nn.LayerNorm(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T', C']."""
        return gelu(self.norm(self.conv(x)))


class FeatureExtractor(nn.Module):
    """The strided convolutions: waveform [B, N] -> [B, T, C]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dims = (1, *config.hidden_dims)
        self.causal, self.padding = config.causal, config.padding
        self.layers = nn.ModuleList(
            ConvLayer(dims[i], dims[i + 1], kernel, stride)
            for i, (kernel, stride) in enumerate(zip(config.kernel_sizes, config.strides, strict=True))
        )
        self.kernels, self.strides = config.kernel_sizes, config.strides

    def frame_count(self, samples: Tensor) -> Tensor:
        """Samples (int64, any shape) -> frames: whole windows, at least one; causal: ceil(samples / 320)."""
        samples = samples + sum(self.padding)
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            if self.causal:
                samples = (samples + stride - 1) // stride
            else:
                samples = (samples.clamp(min=kernel) - kernel) // stride + 1
        return samples

    def forward(
        self, sig: Tensor, lengths: Tensor | None, contexts: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """sig [B, N], lengths [B] samples -> [B, T, C] and (causal) one context per convolution."""
        if self.causal:
            return self._causal(sig, contexts)
        if any(self.padding):
            sig = F.pad(zero_padding(sig, lengths), self.padding)
            lengths = None if lengths is None else lengths + sum(self.padding)
        hop, receptive = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            receptive += (kernel - 1) * hop
            hop *= stride
        short = sig.shape[1] < receptive or (lengths is not None and bool((lengths < receptive).any()))
        frames = (sig.shape[1] - receptive) // hop + 1
        step = front_frames(sig)
        if short or torch.is_grad_enabled() or frames <= step:
            return self._whole(sig, lengths if short else None), ()
        # Each frame sees `receptive` samples and nothing else, so that blocks of frames are exact.
        blocks = [
            self._whole(sig[:, first * hop : (min(first + step, frames) - 1) * hop + receptive], None)
            for first in range(0, frames, step)
        ]
        return torch.cat(blocks, dim=1), ()

    def _whole(self, sig: Tensor, lengths: Tensor | None) -> Tensor:
        x = sig[..., None]
        for layer, kernel, stride in zip(self.layers, self.kernels, self.strides, strict=True):
            # A signal shorter than a kernel is padded to it with zeros, at every layer anew.
            x = F.pad(zero_padding(x, lengths), (0, 0, 0, max(0, kernel - x.shape[1])))
            x = layer(x)
            if lengths is not None:
                lengths = (lengths.clamp(min=kernel) - kernel) // stride + 1
        return x

    def _causal(self, sig: Tensor, contexts: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        hop = 1
        for stride in self.strides:
            hop *= stride
        step = front_frames(sig) * hop if not torch.is_grad_enabled() else max(sig.shape[1], 1)
        blocks = []
        for first in range(0, sig.shape[1], step):
            x = sig[:, first : first + step, None]
            following = []
            for i, (layer, kernel) in enumerate(zip(self.layers, self.kernels, strict=True)):
                x, context = extend_left(x, kernel - 1, None if contexts is None else contexts[i], "replicate")
                following.append(context)
                x = layer(x)
            contexts = tuple(following)
            blocks.append(x)
        assert contexts is not None
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1), contexts


class PositionalConv(nn.Module):
    """x + GELU(grouped convolution of x) over a wide kernel."""

    def __init__(self, dim: int, kernel_size: int, groups: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.conv = GroupedConv1d(dim, dim, kernel_size, groups=groups)

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [B, T, C] -> [B, T, C] and the next context [B, kernel - 1, C]."""
        kernel = self.conv.kernel_size[0]
        if self.causal:
            y, context = extend_left(x, kernel - 1, context, "replicate")
        else:
            # Symmetric padding of an even kernel would give one frame too many at the end.
            y = F.pad(x, (0, 0, kernel // 2, kernel - 1 - kernel // 2))
            context = y[:, :0]
        return x + F.gelu(self.conv(y)), context


class FeedForward(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.in_proj = Linear(dim, hidden_dim)
        self.out_proj = Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., dim] -> [..., dim]."""
        return self.out_proj(gelu(self.in_proj(x)))


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = GatedAttention(config.dim, config.num_heads)
        self.feed_forward_norm = nn.LayerNorm(config.dim)
        self.feed_forward = FeedForward(config.dim, config.ffn_dim)

    def forward(
        self, x: Tensor, bias: PositionBias, spans: Spans, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [B, T, C] -> [B, T, C] and all keys and values."""
        y, cache = self.attention(self.attention_norm(x), bias, spans, past)
        x = x + y
        return x + self.feed_forward(self.feed_forward_norm(x)), cache


class TransformerEncoder(nn.Module):
    """Positional convolution and the layers; one bucket embedding shared by all of them."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.positional_embedding = PositionalConv(config.dim, config.conv_pos, config.conv_pos_groups, config.causal)
        self.relative_embedding = nn.Embedding(config.num_buckets, config.num_heads)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_layers))

    def forward(
        self, x: Tensor, lengths: Tensor | None, state: EncoderState | None
    ) -> tuple[Tensor, Tensor, tuple[tuple[Tensor, Tensor], ...]]:
        """x [B, T, C], lengths [B] frames -> [B, T, C], the context of the convolution, keys and values per layer."""
        config = self.config
        x, context = self.positional_embedding(x, None if state is None else state.contexts[-1])
        frames = x.shape[1]
        seen = 0 if state is None else state.frames
        past = 0 if state is None else state.cache[0][0].shape[2]
        spans = Spans(seen - past, seen + frames, lengths, config.causal, config.window_size, config.lookahead_size)
        bias = PositionBias(self.relative_embedding.weight, past + frames - 1, frames - 1, config.max_distance)
        cache = []
        for i, layer in enumerate(self.layers):
            x, (k, v) = layer(x, bias, spans, None if state is None else state.cache[i])
            if config.causal:
                keep = min(k.shape[2], config.window_size - 1)
                cache.append((last(k, keep, 2), last(v, keep, 2)))
        return x, context, tuple(cache)


class WavLM(nn.Module):
    """Waveform [B, N] at 16 kHz -> features [B, T, dim], one frame every 320 samples."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = FeatureExtractor(config)
        self.norm = nn.LayerNorm(config.hidden_dims[-1])
        self.feature_proj = Linear(config.hidden_dims[-1], config.dim)
        self.encoder = TransformerEncoder(config)

    def frame_count(self, samples: int) -> int:
        """Frames of a signal of that many samples."""
        return int(self.feature_extractor.frame_count(torch.tensor(samples)))

    def forward(
        self,
        sig: Tensor,
        lengths: Tensor | None = None,
        state: EncoderState | None = None,
        attention_lengths: Tensor | None = None,
    ) -> tuple[Tensor, EncoderState | None]:
        """sig [B, N], lengths [B] samples -> features [B, T, dim] and, if causal, the state for the next chunk.

        attention_lengths [B], in frames, masks attention and its input only; see FocalCodec.sig_to_feats.
        """
        x, contexts = self.feature_extractor(sig, lengths, None if state is None else state.contexts[:-1])
        frames = attention_lengths
        if lengths is not None:
            frames = self.feature_extractor.frame_count(lengths)
        x = zero_padding(self.feature_proj(self.norm(x)), frames)
        x, context, cache = self.encoder(x, frames, state)
        x = zero_padding(x, frames) if lengths is not None else x
        if not self.config.causal:
            return x, None
        seen = 0 if state is None else state.frames
        return x, EncoderState(seen + x.shape[1], (*contexts, context), cache)
