"""Relative position bias of WavLM (Chen et al. 2022, arXiv 2110.13900, section III-B) without a T x T table.

The bias depends on key position minus query position only, so one vector of 2T - 1 values per head says it all; the
matrix that attention wants is a sliding view of it. Windows slide forwards, while the rows of a bias matrix slide
backwards: queries are therefore taken in reversed order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def relative_bucket(offsets: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Bucket of each offset (key - query), both int64 of any shape.

    Half of the buckets are for keys after the query; in each half the first half is exact and the rest is
    logarithmic up to max_distance. Single precision in this order of operations: buckets are borders of a floor.
    """
    half = num_buckets // 2
    exact = half // 2
    distance = offsets.abs()
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (half - exact) + exact
    far = far.trunc().long().clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (offsets > 0)


class PositionBias:
    """Bias of every offset from -past to +future: one vector per head, made once per forward pass."""

    def __init__(self, embedding: Tensor, past: int, future: int, max_distance: int) -> None:
        """embedding [buckets, H]; past, future: largest distance backwards and forwards, in frames."""
        offsets = torch.arange(-past, future + 1, device=embedding.device)
        self.past = past
        self.values = embedding[relative_bucket(offsets, embedding.shape[0], max_distance)].t().contiguous()

    def reversed_rows(self, first: int, last: int, start: int, end: int) -> Tensor:
        """View [H, last - first, end - start]: bias of queries last-1, ..., first to keys start, ..., end-1."""
        low = start - (last - 1) + self.past
        size = end - start
        return self.values[:, low : low + size + last - first - 1].unfold(1, size, 1)
