"""Vector quantization in few dimensions by direction (Yu et al. 2022, arXiv 2110.04627), as a residual cascade."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.blocks.residual_vq import nearest
from bench.models.blocks.weight_norm import Linear


class FactorizedVQ(nn.Module):
    """One codebook: the vector is projected to `code_dim`, and the codeword of the nearest direction projected back."""

    def __init__(self, dim: int, size: int, code_dim: int) -> None:
        super().__init__()
        self.in_proj = Linear(dim, code_dim)
        self.codebook = nn.Embedding(size, code_dim)
        self.out_proj = Linear(code_dim, dim)

    def encode(self, x: Tensor) -> Tensor:
        """x [..., dim] -> indices [...]."""
        projected = F.normalize(self.in_proj(x), dim=-1)
        flat = projected.reshape(-1, projected.shape[-1])
        return nearest(flat, F.normalize(self.codebook.weight, dim=-1)).reshape(x.shape[:-1])

    def decode(self, indices: Tensor) -> Tensor:
        """indices [...] -> [..., dim]; the codewords keep their lengths."""
        return self.out_proj(self.codebook(indices))


class ResidualFactorizedVQ(nn.Module):
    """K codebooks, each for what those before it left over in `dim` dimensions."""

    def __init__(self, levels: int, dim: int, size: int, code_dim: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(FactorizedVQ(dim, size, code_dim) for _ in range(levels))

    def books(self) -> list[FactorizedVQ]:
        """The levels, first to last."""
        return [level for level in self.levels if isinstance(level, FactorizedVQ)]

    def encode(self, x: Tensor) -> Tensor:
        """x [..., dim] -> indices [K, ...]."""
        found = []
        for book in self.books():
            indices = book.encode(x)
            x = x - book.decode(indices)
            found.append(indices)
        return torch.stack(found)

    def decode(self, indices: Tensor) -> Tensor:
        """indices [K, ...] -> sum over the codebooks [..., dim]."""
        return torch.stack([book.decode(row) for book, row in zip(self.books(), indices, strict=True)]).sum(0)

    @torch.no_grad()
    def spread(self, vectors: Tensor) -> None:
        """Tables at random around `vectors` [M, dim] and what each level leaves over; see `ResidualVQ.spread`."""
        for book in self.books():
            projected = F.normalize(book.in_proj(vectors), dim=-1)
            table = book.codebook.weight
            table.copy_(projected.mean(0) + projected.std(0) * torch.randn_like(table))
            vectors = vectors - book.decode(book.encode(vectors))

    def tables(self) -> list[Tensor]:
        """Per codebook, what its indices stand for: [V, dim]."""
        return [book.out_proj(book.codebook.weight) for book in self.books()]
