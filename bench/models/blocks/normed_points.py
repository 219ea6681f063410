"""A 1 x 1 convolution in groups and the group norm after it, as one matrix for each group: two passes over the output less.

The norm (one group over all channels) needs the mean and the variance of the convolution's output, which follow from the sums
and products of its inputs: y = W x + b has the mean W E[x] + b and the covariance W Cov[x] W^T. Scale and shift then go into
the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHUNK = 1 << 15
"""Positions whose products are summed in float32; the sums of chunks are added in float64."""


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """x [N, I, P] -> the mean [N, I] and covariance [N, I, I] over its P positions, float64."""
    total, products = x.new_zeros(x.shape[:2], dtype=torch.float64), x.new_zeros(*x.shape[:2], x.shape[1], dtype=torch.float64)
    for part in x.split(CHUNK, dim=-1):
        total += part.sum(-1)
        products += torch.bmm(part, part.transpose(1, 2))
    mean = total / x.shape[-1]
    return mean, products / x.shape[-1] - mean[:, :, None] * mean[:, None, :]


class Points:
    """The product of one input x [B, C, F, T] for `conv` (1 x 1, some groups) and `norm`: `weight` [B G, C' / G, C / G],
    `shift` [B, C', 1], and the input as `columns` [B G, C / G, F T]."""

    def __init__(self, conv: nn.Conv2d, norm: nn.GroupNorm, x: Tensor) -> None:
        batch, groups = x.shape[0], conv.groups
        self.columns = x.reshape(batch * groups, conv.in_channels // groups, -1)
        mean, covariance = moments(self.columns)
        weight = conv.weight.double().view(groups, -1, self.columns.shape[1]).repeat(batch, 1, 1)
        bias = 0.0 if conv.bias is None else conv.bias.double()
        channel_mean = (weight @ mean[:, :, None]).view(batch, -1) + bias
        channel_variance = ((weight @ covariance) * weight).sum(-1).view(batch, -1)
        whole = channel_mean.mean(1, keepdim=True)
        variance = (channel_variance + (channel_mean - whole).square()).mean(1, keepdim=True)
        scale = norm.weight * (variance + norm.eps).rsqrt()
        self.weight = (weight * scale.view(batch * groups, -1, 1)).to(x.dtype)
        self.shift = (norm.bias + scale * (bias - whole)).unsqueeze(-1)


def normed_sum(first: Points, second: Points, shape: torch.Size) -> Tensor:
    """The sum [B, C', F, T] (`shape`) of two products."""
    groups, outputs = first.weight.shape[:2]
    shift = (first.shift + second.shift).to(first.columns.dtype)
    total = torch.baddbmm(shift.view(groups, outputs, 1), first.weight, first.columns)
    total.view(*second.weight.shape[:2], -1).baddbmm_(second.weight, second.columns)
    return total.view(shape)
