"""A start for one-dimensional FreqCodecs: encoder and decoder that already are the principal components of log spectra.

From a random start the embedding of such a network keeps to a few directions for hours, whatever the rate: what reaches
the encoder from wave losses is noise at first. Principal components of pairs of STFT frames hold far more (96 numbers
say log magnitudes within 0.41 nats, 4 codebooks of 1024 within 0.61), in an order that suits a residual quantizer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.models.blocks.seanet import ResidualBlock
from bench.models.funcodec import FunCodec
from bench.models.funcodec.config import BINS

FLOOR = -6.9
"""Smallest log magnitude that counts, at unit level."""
OFFSET = 4.0
"""Added to carried values of spread 1, so that ELU leaves them as they are."""
FREE = 0.1
"""What the weights from channels that carry nothing are multiplied by, where they meet the carried ones."""


@torch.no_grad()
def start_as_pca(codec: FunCodec, waves: Tensor, branch: float = 0.5) -> None:
    """Set a flat network without norms to carry principal components of log spectra from end to end.

    waves [B, T], training speech. Every STFT frame becomes its first K components, K = 0.7 of the encoder's first
    width; the frames under one embedding stand side by side up to the last convolution, which turns them into the
    components of the whole group. The decoder goes the same way back, and its last convolution says what softplus makes
    the magnitudes of. Bins weigh as a mel scale would have it, loud frames more than faint ones. Shortcuts of residual
    blocks become identities, their branches `branch` times smaller; other weights stay as they were drawn, FREE times
    smaller where they would disturb. Raises ValueError for another form of network.
    """
    config = codec.config
    if config.norm != "none" or not config.flat:
        raise ValueError("a linear start is for one-dimensional networks over an STFT with norm = 'none'")
    group = config.hop // 160
    scaled, _ = codec.normalise(waves)
    log = codec.transform.analyse(scaled)[:, :BINS].clamp_min(FLOOR).transpose(1, 2).double()  # [B, F, bins]
    log = log[:, : log.shape[1] // group * group]
    frames = log.reshape(-1, BINS)
    bins = (1.0 + torch.linspace(0.0, config.sample_rate / 2, BINS, dtype=torch.float64) / 700.0).rsqrt()
    carried = min(int(0.7 * config.encoder.width), config.decoder.width, BINS)

    loud = frames.mean(1)
    low, high = (torch.quantile(loud, q) for q in (0.1, 0.9))
    weight = ((loud - low) / (high - low).clamp_min(1e-6)).clamp(0.1, 1.0)
    mean = (frames * weight[:, None]).sum(0) / weight.sum()
    values, vectors = _principal((frames - mean) * bins, weight, carried)
    # What one frame says: components of spread 1 over all frames.
    analysis = bins[:, None] * vectors / values.sqrt()  # [bins, K]
    said = (frames - mean) @ analysis
    centre, spread = said.mean(0), said.std(0)
    analysis = analysis / spread
    said = (said - centre) / spread
    offset = -(mean @ analysis) - centre / spread

    # The frames under one embedding, in the units of their weighted spectra, where distances mean something.
    grouped = said.reshape(-1, group * carried)
    scale = (values.sqrt() * spread).repeat(group)
    group_weight = weight.reshape(-1, group).mean(1)
    dim = min(config.dim, group * carried)
    inner_values, inner = _principal(grouped * scale, group_weight, dim)
    size = (inner_values.sum() / dim).sqrt()
    to_embedding = (scale[:, None] * inner / size).T  # [D, group K]
    from_embedding = torch.linalg.pinv(to_embedding)

    _start_encoder(codec, analysis, offset, to_embedding, carried)
    magnitude = frames.exp()
    wanted = torch.where(magnitude > 15.0, magnitude, torch.expm1(magnitude).log())
    _start_decoder(codec, from_embedding, said, wanted, carried)
    for side in (codec.encoder, codec.decoder):
        _open_shortcuts(side.model, carried, branch)


def _principal(rows: Tensor, weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues, and their vectors as columns, of the weighted second moment of rows [N, D]."""
    moment = (rows * weight[:, None]).T @ rows / weight.sum()
    values, vectors = torch.linalg.eigh(moment)
    return values.flip(0)[:count].clamp_min(1e-8), vectors.flip(1)[:, :count]


def _regress(known: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Least squares with a weight on each error: known [N, K], target and weight [N] -> [K]."""
    weighted = known * weight[:, None].square()
    gram = weighted.T @ known + 1e-3 * weight.square().sum() * torch.eye(known.shape[1], dtype=known.dtype)
    return torch.linalg.solve(gram, weighted.T @ target)


def _start_encoder(codec: FunCodec, analysis: Tensor, offset: Tensor, to_embedding: Tensor, carried: int) -> None:
    layers: Any = codec.encoder.model
    first, *middle, last = [layer for layer in layers if hasattr(layer, "kernel")]
    conv = first.conv.conv
    conv.weight[:carried] = 0.0
    conv.weight[:carried, :BINS, first.pads(100)[0][0]] = analysis.T.float()
    conv.bias[:carried] = (offset + OFFSET).float()
    side_by_side = 1
    for layer in middle:
        conv, step, before = layer.conv.conv, layer.stride[0], layer.pads(96)[0][0]
        block = carried * side_by_side
        conv.weight[: block * step] = 0.0
        conv.bias[: block * step] = 0.0
        _route(conv.weight, block, step, before)
        side_by_side *= step
    conv, count = last.conv.conv, len(to_embedding)
    conv.weight.mul_(FREE)
    conv.weight[:, : to_embedding.shape[1]] = 0.0
    conv.weight[:count, : to_embedding.shape[1], last.pads(100)[0][0]] = to_embedding.float()
    conv.bias.zero_()
    conv.bias[:count] = -(to_embedding.sum(1) * OFFSET).float()


def _start_decoder(codec: FunCodec, from_embedding: Tensor, said: Tensor, wanted: Tensor, carried: int) -> None:
    layers: Any = codec.decoder.model
    first, *middle, last = [layer for layer in layers if hasattr(layer, "kernel")]
    conv, (block, count) = first.conv.conv, from_embedding.shape
    conv.weight[:block] = 0.0
    conv.weight[:block, :count, first.pads(100)[0][0]] = from_embedding.float()
    conv.bias[:block] = OFFSET
    for layer in middle:
        conv, step, before = layer.convtr.convtr, layer.stride[0], layer.trims[0][0]
        block //= step
        conv.weight[:, :block] = 0.0
        conv.bias[:block] = 0.0
        _route(conv.weight, block, step, before)
    conv = last.conv.conv
    # Errors count as shares of the magnitude: a share is what the ear and the losses hear.
    known = torch.cat([said, torch.ones_like(said[:, :1])], 1)
    columns = torch.stack([_regress(known, target, (1.0 + target.clamp_min(0.0)).reciprocal()) for target in wanted.T])
    mean, columns = columns[:, -1], columns[:, :-1]
    conv.weight.mul_(FREE)
    conv.weight[:BINS] = 0.0
    conv.weight[:BINS, :carried, last.pads(100)[0][0]] = columns.float()
    conv.bias.zero_()
    conv.bias[:BINS] = (mean - OFFSET * columns.sum(1)).float()


def _route(weight: Tensor, block: int, step: int, before: int) -> None:
    """Identities in the weight [., ., taps] of a layer of stride `step`: between `block` channels at one rate and `step`
    blocks side by side at the other; tap `before` belongs to the first of them. The same for both directions."""
    channels = torch.arange(block)
    for late in range(step):
        weight[late * block + channels, channels, before + late] = 1.0


def _open_shortcuts(layers: Any, carried: int, branch: float) -> None:
    for module in layers:
        if isinstance(module, ResidualBlock):
            shortcut: Any = module.shortcut.conv.conv
            torch.nn.init.dirac_(shortcut.weight)
            shortcut.bias.zero_()
            last_of_branch: Any = module.block[3]
            conv = last_of_branch.conv.conv
            conv.weight.mul_(branch)
            conv.weight[:carried] *= FREE
            conv.bias[:carried] *= FREE
