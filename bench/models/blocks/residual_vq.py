"""Vector quantization with codebooks learned by moving averages, alone and as a residual cascade.

Layout everywhere: vectors in the last axis, [..., D] float; indices int64 [...]. A cascade of K levels gives indices
[K, ...] and the sum of the K chosen codewords.

References: van den Oord et al. 2017 (EMA codebooks, appendix A.1), SoundStream (arXiv 2107.03312, section III-C:
k-means start, renewal of dead codes, quantizer dropout).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def nearest(vectors: Tensor, table: Tensor) -> Tensor:
    """Index of the Euclidean-nearest row of `table` [V, D] for each of `vectors` [M, D]; the first of equals. [M]."""
    with torch.autocast(vectors.device.type, enabled=False):  # half precision would choose other codewords
        vectors, table = vectors.float(), table.float()
        distance = vectors.pow(2).sum(1, keepdim=True) - 2 * vectors @ table.t() + table.pow(2).sum(1)
        return (-distance).max(dim=1).indices


def _sample_rows(vectors: Tensor, count: int) -> Tensor:
    """`count` rows of [M, D] at random, without repetition while M allows."""
    total = vectors.shape[0]
    if total >= count:
        rows = torch.randperm(total, device=vectors.device)[:count]
    else:
        rows = torch.randint(total, (count,), device=vectors.device)
    return vectors[rows]


def kmeans(vectors: Tensor, clusters: int, iterations: int = 50) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm on [M, D] from random samples: means [V, D], bin counts [V]. Empty clusters keep their mean."""
    means = _sample_rows(vectors, clusters).clone()
    counts = torch.zeros(clusters, dtype=vectors.dtype, device=vectors.device)
    for _ in range(iterations):
        bins = nearest(vectors, means)
        counts, sums = _bin_sums(vectors, bins, clusters)
        filled = counts > 0
        means = torch.where(filled[:, None], sums / counts.clamp_min(1)[:, None], means)
    return means, counts


def _bin_sums(vectors: Tensor, bins: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    counts = torch.bincount(bins, minlength=clusters).to(vectors.dtype)
    sums = torch.zeros(clusters, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    return counts, sums.index_add_(0, bins, vectors)


class EMACodebook(nn.Module):
    """One codebook [V, D] whose rows follow the running mean of the vectors they were chosen for.

    In training mode `forward` also learns: a k-means start on the first batch (when asked for), then one moving-average
    step per call, with rows used less than `renew_below` times (moving count) set anew to random vectors of the batch.
    `renew_below=0` never renews. The gradient passes straight through; the table itself takes none.
    """

    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        *,
        decay: float = 0.99,
        kmeans_start: bool = True,
        kmeans_iterations: int = 50,
        renew_below: float = 2.0,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.size, self.dim = size, dim
        self.decay, self.epsilon = decay, epsilon
        self.kmeans_iterations, self.renew_below = kmeans_iterations, renew_below
        table = torch.empty(size, dim)
        nn.init.kaiming_uniform_(table)
        self.register_buffer("inited", torch.tensor([0.0 if kmeans_start else 1.0]))
        # A count of zero would make every row look dead at the first step of a table that did not start by k-means.
        self.register_buffer("cluster_size", torch.full((size,), max(renew_below, 1.0)))
        self.register_buffer("embed", table)
        self.register_buffer("embed_avg", table * max(renew_below, 1.0))

    def encode(self, x: Tensor) -> Tensor:
        """Indices [...] of the nearest codewords of x [..., D]."""
        return nearest(x.reshape(-1, self.dim), self.embed).reshape(x.shape[:-1])

    def decode(self, indices: Tensor) -> Tensor:
        """Codewords [..., D] of indices [...]."""
        return F.embedding(indices, self.embed)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [..., D] -> codewords [..., D] (no gradient), indices [...]; learns when in training mode."""
        flat = x.detach().reshape(-1, self.dim).float()
        if self.training:
            self._start(flat)
        indices = nearest(flat, self.embed)
        words = F.embedding(indices, self.embed).reshape(x.shape).to(x.dtype)
        if self.training:
            self._learn(flat, indices)
        return words, indices.reshape(x.shape[:-1])

    @torch.no_grad()
    def _start(self, flat: Tensor) -> None:
        if bool(self.inited):
            return
        means, counts = kmeans(flat, self.size, self.kmeans_iterations)
        self.embed.copy_(means)
        # The averages are sums, not means: taken as means (as in the published toolkits), the first step after the
        # start would shrink every codeword by its count.
        self.embed_avg.copy_(means * counts[:, None])
        self.cluster_size.copy_(counts)
        self.inited.fill_(1.0)

    @torch.no_grad()
    def _learn(self, flat: Tensor, indices: Tensor) -> None:
        dead = self.cluster_size < self.renew_below
        if bool(dead.any()):
            # The row is rebuilt from the two averages below, so they have to be reset with it.
            fresh = _sample_rows(flat, int(dead.sum()))
            self.embed_avg[dead] = fresh * self.renew_below
            self.cluster_size[dead] = self.renew_below
        counts, sums = _bin_sums(flat, indices, self.size)
        self.cluster_size.lerp_(counts, 1 - self.decay)
        self.embed_avg.lerp_(sums, 1 - self.decay)
        total = self.cluster_size.sum()
        smoothed = (self.cluster_size + self.epsilon) / (total + self.size * self.epsilon) * total
        self.embed.copy_(self.embed_avg / smoothed[:, None])


class Quantized(NamedTuple):
    """What a quantizer gives in training: `words` [..., D] (straight through), `indices` [K, ...] (-1 where a level was
    dropped) and `commitment` [K], the mean squared error of each level (0 where dropped)."""

    words: Tensor
    indices: Tensor
    commitment: Tensor


class ResidualVQ(nn.Module):
    """K codebooks in cascade, each quantizing what the levels before it left over.

    levels: K; size: codewords per level; dim: D. `dropout` lists the numbers of levels to draw from, uniformly, in
    each training step (one draw for the batch); empty means always all. `commit_all` lets the commitment error of every
    level reach the encoder; False is the behaviour of the published toolkits, where only the first level's does.
    Other keywords go to `EMACodebook`.
    """

    def __init__(
        self,
        levels: int,
        size: int,
        dim: int,
        *,
        dropout: Sequence[int] = (),
        commit_all: bool = True,
        **codebook: float | bool,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"a residual quantizer needs at least one level, not {levels}")
        if any(not 1 <= n <= levels for n in dropout):
            raise ValueError(f"dropout draws from {tuple(dropout)}, but there are {levels} levels")
        self.size, self.dim = size, dim
        self.dropout = tuple(dropout)
        self.commit_all = commit_all
        self.levels = nn.ModuleList(EMACodebook(size, dim, **codebook) for _ in range(levels))  # type: ignore[arg-type]

    def _books(self, count: int | None = None, first: int = 0) -> list[EMACodebook]:
        return [level for level in self.levels if isinstance(level, EMACodebook)][first:count]

    def _count(self, asked: int | None) -> int:
        """Levels to use; None means all. Asking for more than there are is clipped, as bandwidth requests are."""
        return len(self.levels) if asked is None else max(1, min(asked, len(self.levels)))

    def encode(self, x: Tensor, levels: int | None = None, first: int = 0) -> Tensor:
        """x [..., D] -> indices [K, ...] of the first `levels` codebooks, those before `first` left out: they quantize
        nothing, and nothing is subtracted for them."""
        residual, found = x, []
        for codebook in self._books(self._count(levels), first):
            indices = codebook.encode(residual)
            residual = residual - codebook.decode(indices)
            found.append(indices)
        return torch.stack(found)

    def decode(self, indices: Tensor, first: int = 0) -> Tensor:
        """indices [K, ...] of K levels from `first` on -> sum of codewords [..., D]."""
        if first + indices.shape[0] > len(self.levels):
            raise ValueError(f"{indices.shape[0]} rows of codes, but there are {len(self.levels) - first} codebooks")
        start, *rest = self._books(first + indices.shape[0], first)
        total = start.decode(indices[0])
        for codebook, row in zip(rest, indices[1:], strict=True):
            total = total + codebook.decode(row)
        return total

    def forward(self, x: Tensor, levels: int | None = None) -> Quantized:
        """x [..., D] -> `Quantized`. In training, without `levels`, their number is drawn from `dropout`."""
        if levels is None and self.training and self.dropout:
            levels = self.dropout[int(torch.randint(len(self.dropout), ()))]
        used = self._count(levels)
        residual, total = x, torch.zeros_like(x)
        indices = torch.full((len(self.levels), *x.shape[:-1]), -1, dtype=torch.long, device=x.device)
        commitment = x.new_zeros(len(self.levels))
        for level, codebook in enumerate(self._books(used)):
            words, indices[level] = codebook(residual)
            commitment[level] = F.mse_loss(residual, words)
            total = total + words
            # Without the gradient of the residual only level 0 feels its commitment error.
            residual = residual - words if self.commit_all else (residual - words).detach()
        return Quantized(x + (total - x).detach() if self.training else total, indices, commitment)

    @torch.no_grad()
    def spread(self, vectors: Tensor) -> None:
        """Tables at random around `vectors` [M, D] and around what each level leaves over, so that an untrained network
        uses many codewords. For tests: trained tables learn from their inputs."""
        residual = vectors.float()
        for level in self._books():
            level.embed.copy_(residual.mean(0) + residual.std(0) * torch.randn_like(level.embed))
            level.inited.fill_(1.0)
            residual = residual - level.decode(level.encode(residual))

    def tables(self) -> list[Tensor]:
        """The codewords of each level, [V, D]."""
        return [level.embed for level in self._books()]

    def stacked(self) -> dict[str, Tensor]:
        """The state as [K, ...] tensors: inited [K, 1], cluster_size [K, V], embed and embed_avg [K, V, D]."""
        names = ("inited", "cluster_size", "embed", "embed_avg")
        return {name: torch.stack([getattr(level, name) for level in self.levels]) for name in names}

    @torch.no_grad()
    def load_stacked(self, embed: Tensor, cluster_size: Tensor | None = None, embed_avg: Tensor | None = None) -> None:
        """Take tables [K, V, D] (and the averages, when training is to go on); marks every level as started."""
        for index, level in enumerate(self._books()):
            level.embed.copy_(embed[index])
            level.cluster_size.copy_(cluster_size[index] if cluster_size is not None else level.cluster_size)
            level.embed_avg.copy_(embed_avg[index] if embed_avg is not None else level.embed * level.cluster_size[:, None])
            level.inited.fill_(1.0)
