"""One-shot voice conversion by nearest neighbours (kNN-VC, Baas et al. 2023, arXiv 2305.18975; FocalCodec, 4.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Similarities held at a time, in values.
BLOCK_VALUES = 16 * 2**20


def nearest(query: Tensor, matching_set: Tensor, k: int = 4) -> Tensor:
    """The k frames of matching_set [M, C] closest in cosine distance to each query frame [B, T, C].

    Returns [B, T, min(k, M), C], nearest first. Raises ValueError for an empty matching set or k < 1.
    """
    if matching_set.ndim != 2 or matching_set.shape[0] == 0 or k < 1:
        raise ValueError(f"matching set must be [M >= 1, C] and k >= 1, not {tuple(matching_set.shape)} and k {k}")
    directions = F.normalize(matching_set, dim=-1).t()
    flat = F.normalize(query, dim=-1).flatten(0, -2)
    k = min(k, matching_set.shape[0])
    rows = max(1, BLOCK_VALUES // matching_set.shape[0])
    indices = torch.cat([(block @ directions).topk(k, dim=-1).indices for block in flat.split(rows)])
    return matching_set[indices].view(*query.shape[:-1], k, matching_set.shape[1])


def convert_feats(query: Tensor, matching_set: Tensor, k: int = 4) -> Tensor:
    """Each query frame [B, T, C] replaced by the plain mean of its k nearest frames of matching_set [M, C]."""
    return nearest(query, matching_set, k).mean(dim=-2)
