"""Single-codebook and grouped vector quantisation for training and use, on top of `EMACodebook`.

Vectors in the last axis, [..., D]. The rules are those of SuperCodec's quantiser (vector-quantize-pytorch 1.1.1):
nearest code by Euclidean distance, straight-through gradient, commitment = mean squared distance to the detached code.
Everything is computed in float32, also under autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .residual_vq import EMACodebook, kmeans


class Codebook(EMACodebook):
    """An `EMACodebook` that quantises on its own.

    size: K codes. dim: D values each. decay: weight of the past per update. renew_below: a code used less than this
    share of the average code's use (moving averages) is replaced by a vector of the batch; 0 = never.
    """

    def __init__(self, size: int, dim: int, decay: float = 0.8, renew_below: float = 0.0) -> None:
        # the absolute threshold of the base follows the average use, see `_learn`
        super().__init__(size, dim, decay=decay, kmeans_iterations=10, renew_below=0.0)
        self.renew_share = renew_below

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """k-means of x [..., D] into this codebook; later training continues from there."""
        flat = x.detach().float().reshape(-1, self.dim)
        if flat.shape[0] < self.size:
            # fewer vectors than codes: repeated starts would stay equal for ever, so they are shaken apart
            extra = flat[torch.randint(flat.shape[0], (self.size - flat.shape[0],), device=flat.device)]
            spread = flat.std() if flat.numel() > 1 else flat.new_tensor(1.0)
            flat = torch.cat([flat, extra + 0.02 * spread * torch.randn_like(extra)])
        means, counts = kmeans(flat, self.size, self.kmeans_iterations)
        counts = counts.clamp_min(max(self.renew_share * flat.shape[0] / self.size, 1e-3))
        self.embed.copy_(means)
        # the sums belong to the counts: plain means here would shrink every code at the first updates
        self.embed_avg.copy_(means * counts[:, None])
        self.cluster_size.copy_(counts)
        self.inited.fill_(1.0)

    @torch.no_grad()
    def _start(self, flat: Tensor) -> None:
        if not bool(self.inited):
            self.fit(flat)

    @torch.no_grad()
    def _learn(self, flat: Tensor, indices: Tensor) -> None:
        self.renew_below = self.renew_share * float(self.cluster_size.mean())
        super()._learn(flat, indices)

    def nearest(self, x: Tensor) -> Tensor:
        """Index of the nearest code: x [..., D] -> int64 [...]."""
        with torch.autocast(x.device.type, enabled=False):
            return self.encode(x.detach().float())

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., D] -> (codes [..., D] with straight-through gradient, indices [...], commitment []).

        In training mode the codebook starts itself on the first batch and then follows its inputs.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            words, indices = self(x)
            return x + (words - x).detach(), indices, F.mse_loss(x, words)


class GroupVQ(nn.Module):
    """A vector cut into equal groups, each with its own codebook.

    dim: D, divisible by groups. size: codes in each group's codebook. Further arguments: see `Codebook`.
    """

    def __init__(self, dim: int, groups: int, size: int, decay: float = 0.8, renew_below: float = 0.0) -> None:
        super().__init__()
        if dim % groups:
            raise ValueError(f"a vector of {dim} values does not split into {groups} equal groups")
        self.books = nn.ModuleList(Codebook(size, dim // groups, decay, renew_below) for _ in range(groups))

    def _pairs(self, x: Tensor) -> list[tuple[Codebook, Tensor]]:
        return list(zip(self.books, x.chunk(len(self.books), dim=-1), strict=True))  # type: ignore[arg-type]

    def nearest(self, x: Tensor) -> Tensor:
        """x [..., D] -> indices [..., groups]."""
        return torch.stack([book.nearest(part) for book, part in self._pairs(x)], -1)

    def decode(self, indices: Tensor) -> Tensor:
        """indices [..., groups] -> x [..., D]."""
        return torch.cat([book.decode(index) for book, index in zip(self.books, indices.unbind(-1), strict=True)], -1)  # type: ignore[operator]

    def fit(self, x: Tensor) -> None:
        """k-means of x [..., D], group by group."""
        for book, part in self._pairs(x):
            book.fit(part)

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., D] -> (codes [..., D], indices [..., groups], mean commitment [])."""
        words, indices, commitments = zip(*(book.quantize(part) for book, part in self._pairs(x)), strict=True)
        return torch.cat(words, -1), torch.stack(indices, -1), torch.stack(commitments).mean()
