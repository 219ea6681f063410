"""Depthwise convolutions with kernels too long for the direct method."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Kernel length from which a few output frames are cheaper as sliding dot products, and many as a spectrum product.
LONG = 64


def depthwise_valid(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [B, C, T], weight [C, 1, K] -> [B, C, T - K + 1]: each channel with its own kernel, no padding."""
    kernel = weight.shape[-1]
    if kernel < LONG:
        return F.conv1d(x, weight, bias, groups=x.shape[1])
    frames = x.shape[-1] - kernel + 1
    if frames <= kernel // 16:
        # [B, C, frames, K] is a view; the product over K is one batched matrix-vector product.
        y = torch.matmul(x.unfold(-1, kernel, 1), weight[:, 0, :, None])[..., 0]
        return y if bias is None else y + bias[:, None]
    return F.conv1d(x, weight, bias, groups=x.shape[1])
