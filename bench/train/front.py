"""A waveform front end that starts as a log-mel spectrogram, although it is made of convolutions, LayerNorms and GELUs.

WavLM's strided convolutions learn spectra from nothing, in days on GPUs. Here three of them are set by hand and by least
squares: tones in four phases, whose rectified sum is a band's magnitude; thresholds of every band at several levels, a
basis in which its logarithm is nearly linear; and a readout of the log-mel frames, fitted to speech. On 10 s of held-out
crops a linear layer after it misses log-mel frames by about a third of what it misses after a plain filterbank.

LayerNorm would take away level. It is linear where its input is far below the root of its epsilon and has zero mean
over the channels; so signals run through it tiny, every channel beside its negative, and its gains bring them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.models.focalcodec.wavlm import WavLM

ROOT = 1e-5**0.5
"""Root of LayerNorm's epsilon: the slope of a LayerNorm on tiny inputs is its weight over this."""
TINY = {"tones": 1e-3, "thresholds": 1e-2, "readout": 1e-4, "pairs": 1e-4}
"""What the linear stretches run at, for signals of size 1; small against ROOT, with gains that float16 still holds."""
RECTIFY = 3.0
"""What the quietest magnitude comes to before a GELU that is to rectify it."""
QUIETEST, LOUDEST = 3e-4, 0.1
"""Magnitudes (of a band, for a wave in [-1, 1]) between which the thresholds lie."""


@torch.no_grad()
def start_as_log_mel(encoder: WavLM, waves: Tensor, target: Tensor) -> float:
    """Set three strided convolutions (kernels k, 1, 2; strides s, 1, 2) and the norm after them.

    waves [B, N] at 16 kHz; target [B, T, D]: what the last convolution's channel pairs should say of frame t, D at most
    half its channels. Returns the mean absolute error of that least-squares fit.
    """
    layers: Any = encoder.feature_extractor.layers
    tones, thresholds, readout = layers
    bands = tones.conv.out_channels // 4
    _set_tones(tones, bands)
    _set_thresholds(thresholds, bands, waves, tones)
    hidden = thresholds(tones(waves[..., None]))  # [B, 2 T, C]
    frames = min(hidden.shape[1] // 2, target.shape[1])
    pairs = hidden[:, : 2 * frames].unflatten(1, (frames, 2)).flatten(2).flatten(0, 1).double()
    wanted = target[:, :frames].flatten(0, 1).double()
    centre, middle = pairs.mean(0), wanted.mean(0)
    x, y = pairs - centre, wanted - middle
    gram = x.T @ x
    ridge = 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.double)
    weight = torch.linalg.solve(gram + ridge, x.T @ y)  # [2 C, D]
    error = float((x @ weight - y).abs().mean())
    _set_readout(readout, encoder.norm, weight, middle - centre @ weight)
    return error


def _linear(norm: nn.LayerNorm, gain: Tensor | float, bias: Tensor | float = 0.0) -> None:
    """Make a LayerNorm the map x -> gain x + bias for tiny x of zero mean over channels."""
    norm.weight.copy_(torch.as_tensor(gain) * ROOT * torch.ones_like(norm.weight))
    norm.bias.copy_(torch.as_tensor(bias) * torch.ones_like(norm.bias))


def _set_tones(layer: Any, bands: int, rate_hz: int = 16000) -> None:
    conv, kernel = layer.conv, layer.conv.kernel_size[0]
    top, bottom = (2595 * np.log10(1 + hz / 700) for hz in (7600, 60))
    hz = 700 * (10 ** (torch.linspace(bottom, top, bands, dtype=torch.float64) / 2595) - 1)
    time = torch.arange(kernel, dtype=torch.float64) - kernel / 2
    phases = torch.arange(4, dtype=torch.float64) * (np.pi / 2)
    angle = 2 * np.pi * hz[:, None] * time / rate_hz
    window = torch.hann_window(kernel, dtype=torch.float64)
    tones = torch.cos(angle[:, None] + phases[:, None]) * window / window.sum() * 2
    conv.weight.zero_()
    conv.weight[: 4 * bands, 0] = (TINY["tones"] * tones).reshape(4 * bands, kernel).float()
    # Far above 1 a GELU is a rectifier: the quietest band should come out well above it.
    _linear(layer.norm, RECTIFY / QUIETEST / TINY["tones"])


def _set_thresholds(layer: Any, bands: int, waves: Tensor, tones: Any) -> None:
    """Channels (band, level): GELU falls from a constant to 0 as the band's magnitude passes the level."""
    conv = layer.conv
    levels = conv.out_channels // bands
    conv.weight.zero_()
    rectified = 2.0 * RECTIFY / QUIETEST  # sum over four rectified phases of a magnitude 1, about
    magnitude = tones(waves[..., None]).unflatten(-1, (bands, 4)).sum(-1) / rectified
    typical = magnitude.square().mean((0, 1)).sqrt()
    typical = typical / typical.mean()
    gains = torch.zeros(conv.out_channels)
    steps = torch.logspace(np.log10(QUIETEST), np.log10(LOUDEST), levels)
    for level in range(levels):
        rows = torch.arange(bands) * levels + level
        # One positive channel against the others' negatives, so that the mean over channels is zero.
        sign = float(levels - 1) if level == levels - 1 else -1.0
        for phase in range(4):
            conv.weight[rows, torch.arange(bands) * 4 + phase, 0] = sign * TINY["thresholds"] / rectified
        gains[rows] = 3.0 / (steps[level] * typical) / TINY["thresholds"] / abs(sign)
    bias = torch.full((conv.out_channels,), 3.0)
    bias[torch.arange(bands) * levels + levels - 1] = -1.0
    layer.norm.weight.zero_()
    layer.norm.bias.zero_()
    layer.norm.weight[: len(gains)] = gains * ROOT
    layer.norm.bias[: len(bias)] = bias


def _set_readout(layer: Any, norm: nn.LayerNorm, weight: Tensor, offset: Tensor) -> None:
    """Pairs of channels +v and -v, v the fitted readout; GELU(v) - GELU(-v) is v again."""
    conv = layer.conv
    channels, dims = conv.in_channels, weight.shape[1]
    tiny, size = TINY["readout"], TINY["pairs"]  # v runs small: the mean of a pair is of order v^2
    taps = weight.T.reshape(dims, 2, channels).permute(0, 2, 1).float()
    conv.weight.zero_()
    conv.weight[:dims] = tiny * taps
    conv.weight[dims : 2 * dims] = -tiny * taps
    layer.norm.weight.zero_()
    layer.norm.bias.zero_()
    layer.norm.weight[: 2 * dims] = size / tiny * ROOT
    layer.norm.bias[:dims] = size * offset.float()
    layer.norm.bias[dims : 2 * dims] = -size * offset.float()
    _linear(norm, 1.0 / size)


@torch.no_grad()
def start_projection(encoder: WavLM, waves: Tensor, dims: int) -> None:
    """Set the projection after the front end: the `dims` fitted values, each with mean 0 and spread 1, then random
    mixtures of them; and let the transformer's branches start small, so that features start as that."""
    conv_out = encoder.feature_extractor(waves, None, None)[0]
    pairs = encoder.norm(conv_out)
    values = (pairs[..., :dims] - pairs[..., dims : 2 * dims]).flatten(0, 1)
    mean, spread = values.mean(0), values.std(0).clamp_min(1e-3)
    width = encoder.feature_proj.out_features
    mix = torch.cat([torch.eye(dims), torch.randn(max(0, width - dims), dims) / dims**0.5])[:width]
    rows = mix / spread
    encoder.feature_proj.weight.zero_()
    encoder.feature_proj.weight[:, :dims] = rows
    encoder.feature_proj.weight[:, dims : 2 * dims] = -rows
    encoder.feature_proj.bias.copy_(-rows @ mean)
    transformer: Any = encoder.encoder
    transformer.positional_embedding.conv.weight.mul_(0.1)
    for layer in transformer.layers:
        layer.attention.out_proj.weight.mul_(0.1)
        layer.feed_forward.out_proj.weight.mul_(0.1)
