"""Whisper's stem in WavLM's form: a log-mel spectrogram and two convolutions, made of convolutions, LayerNorms and GELUs.

WavLM's strided convolutions learn spectra from nothing, in days on GPUs. Here six of them are set instead of trained.
By hand: tones in four phases, whose rectified sum is a band's magnitude; thresholds of every band at several levels, a
basis in which its logarithm is nearly linear. By least squares on speech: the readout of Whisper's log-mel. Copied:
Whisper's two convolutions (arXiv 2212.04356, section 2.2). Last, pairs that carry the outcome through the closing norm.

LayerNorm would take away level. It is linear where its input is far below the root of its epsilon and has zero mean
over the channels; so signals run through it tiny, every channel beside its negative or all of them beside one that
balances their sum, and its gains bring them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import BadCard
from bench.models.focalcodec.wavlm import WavLM
from bench.train.whisper import WhisperEncoder

ROOT = 1e-5**0.5
"""Root of LayerNorm's epsilon: the slope of a LayerNorm on tiny inputs is its weight over this."""
TINY = {"tones": 1e-3, "thresholds": 1e-2, "readout": 1e-4, "pairs": 1e-4, "convolution": 1e-4}
"""What the linear stretches run at, for signals of size 1; small against ROOT, with gains that float16 still holds."""
RECTIFY = 3.0
"""What the quietest magnitude comes to before a GELU that is to rectify it."""
QUIETEST, LOUDEST = 3e-4, 0.1
"""Magnitudes (of a band, for a wave in [-1, 1]) between which the thresholds lie."""
KERNELS, STRIDES, PADDING = (400, 1, 1, 3, 3, 1), (160, 1, 1, 1, 2, 1), (520, 519)
"""Shape of the six convolutions, and the encoder's padding: frame t is centred at sample 320 t, as Whisper's are."""
SHIFT = 2
"""Frames of 160 samples by which the first convolution runs ahead of Whisper's log-mel, because of that padding."""


@torch.no_grad()
def start_as_whisper_stem(encoder: WavLM, waves: Tensor, whisper: WhisperEncoder) -> float:
    """Set the front end and the projection after it to Whisper's log-mel, convolutions and GELUs, without positions.

    waves [B, N]: speech at 16 kHz for the fit of the log-mel. Returns the fit's mean absolute error, in the units of
    Whisper's log-mel (1 is 40 dB). Raises BadCard where the encoder's convolutions have another shape.
    """
    extractor: Any = encoder.feature_extractor
    layers, mels, dim = extractor.layers, whisper.conv1.in_channels, whisper.conv1.out_channels
    found = extractor.kernels, extractor.strides, extractor.padding
    if found != (KERNELS, STRIDES, PADDING):
        wanted = f"kernel_sizes {list(KERNELS)}, strides {list(STRIDES)} and padding {list(PADDING)}"
        raise BadCard(f"loss.stem: Whisper's stem needs an encoder with {wanted}, not {found}")
    widths = [layer.conv.out_channels for layer in layers]
    if widths[2] < 2 * mels or min(widths[3:5]) <= dim or widths[5] < 2 * dim or encoder.feature_proj.out_features != dim:
        raise BadCard(
            f"loss.stem: hidden_dims {widths} are too narrow; the last four need {2 * mels}, {dim + 1}, {dim + 1} and "
            f"{2 * dim} channels, and encoder_config.dim must be {dim}"
        )
    tones, thresholds, readout, first, second, pairs = layers
    bands = tones.conv.out_channels // 4
    _set_tones(tones, bands)
    padded = F.pad(waves, PADDING)[..., None]
    _set_thresholds(thresholds, bands, padded, tones)
    hidden = thresholds(tones(padded))[:, 2 * SHIFT : -2 * SHIFT]
    mel = whisper.log_mel(waves).transpose(1, 2)[:, SHIFT:]
    frames = min(hidden.shape[1], mel.shape[1])
    weight, offset, error = _least_squares(hidden[:, :frames].flatten(0, 1), mel[:, :frames].flatten(0, 1))
    _set_pairs(readout, weight[..., None], offset)
    _set_convolution(first, whisper.conv1, paired=True)
    _set_convolution(second, whisper.conv2, paired=False)
    _set_pairs(pairs, torch.eye(dim)[..., None], torch.zeros(dim))
    _linear(encoder.norm, 1.0 / TINY["pairs"])
    encoder.feature_proj.weight.zero_()
    encoder.feature_proj.weight[:, :dim] = torch.eye(dim)
    encoder.feature_proj.weight[:, dim : 2 * dim] = -torch.eye(dim)
    encoder.feature_proj.bias.zero_()
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
    magnitude = tones(waves).unflatten(-1, (bands, 4)).sum(-1) / rectified
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


def _least_squares(x: Tensor, y: Tensor, ridge: float = 1e-4) -> tuple[Tensor, Tensor, float]:
    """x [N, C], y [N, D] -> weight [D, C], offset [D], mean absolute error of y = weight x + offset."""
    x, y = x.double(), y.double()
    middle, level = x.mean(0), y.mean(0)
    x, y = x - middle, y - level
    gram = x.T @ x
    weight = torch.linalg.solve(gram + ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype), x.T @ y)
    return weight.T.float(), (level - middle @ weight).float(), float((x @ weight - y).abs().mean())


def _set_pairs(layer: Any, weight: Tensor, offset: Tensor) -> None:
    """Channels +v and -v, v = weight * x + offset, weight [D, C, k]; GELU(v) - GELU(-v) is v again.

    They come out at TINY["pairs"] of v's size, since the mean of GELU(v) and GELU(-v) is of order v^2.
    """
    tiny, size = TINY["readout"], TINY["pairs"]
    dims, channels = weight.shape[:2]
    layer.conv.weight.zero_()
    layer.conv.weight[:dims, :channels] = tiny * weight
    layer.conv.weight[dims : 2 * dims, :channels] = -tiny * weight
    layer.norm.weight.zero_()
    layer.norm.bias.zero_()
    layer.norm.weight[: 2 * dims] = size / tiny * ROOT
    layer.norm.bias[:dims] = size * offset
    layer.norm.bias[dims : 2 * dims] = -size * offset


def _set_convolution(layer: Any, conv: nn.Conv1d, *, paired: bool) -> None:
    """Channels GELU(conv(x)); the inputs are pairs at TINY["pairs"], or plain."""
    assert conv.bias is not None
    tiny, dims, taps = TINY["convolution"], conv.out_channels, conv.weight
    if paired:
        taps = torch.cat([taps, -taps], dim=1) / TINY["pairs"]
    layer.conv.weight.zero_()
    layer.conv.weight[:dims, : taps.shape[1]] = tiny * taps
    layer.conv.weight[dims] = -layer.conv.weight[:dims].sum(0)
    layer.norm.weight.zero_()
    layer.norm.bias.zero_()
    layer.norm.weight[:dims] = ROOT / tiny
    layer.norm.bias[:dims] = conv.bias
