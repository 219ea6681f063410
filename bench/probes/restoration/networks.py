"""A Conformer from what is heard to the tokens of each clean recording in it.

Shapes: tokens [B, N, K] int64, features [B, N, H] float32, lengths [B] frames; scores [B, S, N, V_k] of each codebook.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.probes.networks import Front
from bench.probes.restoration.pairs import Pairs
from bench.probes.restoration.settings import Settings


class Restorer(nn.Module):
    """Embedding and pooling of the codebooks, speechbrain's Conformer, an output for each source and codebook."""

    def __init__(self, pairs: Pairs, settings: Settings) -> None:
        super().__init__()
        from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR

        self.front = Front(pairs.inputs, settings.front)
        longest = max(map(pairs.inputs.length, pairs.targets))
        self.body = TransformerASR(
            -1, self.front.width, settings.dim, settings.attention_heads, settings.layers, 0, settings.ffn, settings.dropout,
            nn.GELU, encoder_module="conformer", normalize_before=True, kernel_size=settings.kernel, causal=False,
            max_length=max(2048, longest),
        )  # fmt: skip
        outputs: list[nn.Module] = []
        for size, table in zip(pairs.sizes, pairs.tables, strict=True):
            if settings.output == "table" and table is not None:
                outputs.append(Nearness(settings.dim, pairs.sources, torch.from_numpy(table.copy())))
            else:
                outputs.append(Linear(settings.dim, pairs.sources, size))
        self.outputs = nn.ModuleList(outputs)

    def forward(self, tokens: Tensor | None, features: Tensor | None, lengths: Tensor) -> list[Tensor]:
        """-> log-probabilities [B, S, N, V_k] of each codebook."""
        x = self.front(tokens, features)
        lengths = lengths.to(x.device)
        x = self.body.encode(x, None if bool((lengths == x.shape[1]).all()) else lengths / x.shape[1])
        return [
            output(x, None if tokens is None else tokens[..., k]).log_softmax(dim=-1) for k, output in enumerate(self.outputs)
        ]


class Linear(nn.Module):
    """Scores of `size` entries for each of S sources."""

    def __init__(self, dim: int, sources: int, size: int) -> None:
        super().__init__()
        self.sources = sources
        self.weights = nn.Linear(dim, sources * size)

    def forward(self, x: Tensor, heard: Tensor | None) -> Tensor:
        """x [B, N, dim], heard [B, N] -> [B, S, N, size]."""
        return self.weights(x).unflatten(-1, (self.sources, -1)).transpose(1, 2)


class Nearness(nn.Module):
    """Scores by nearness: minus the squared distance of a point to each entry of the codec's own table.

    Entries that are alike share what is learned of them, which a few minutes of speech need. Where tokens are read, the
    point starts at the entry that was heard.
    """

    def __init__(self, dim: int, sources: int, table: Tensor) -> None:
        super().__init__()
        spread = table.std(dim=0).clamp(min=1e-6)
        self.table: Tensor
        self.register_buffer("table", (table - table.mean(dim=0)) / spread, persistent=False)
        self.sources = sources
        self.moves = nn.Linear(dim, sources * table.shape[1])
        nn.init.normal_(self.moves.weight, std=0.02)
        nn.init.zeros_(self.moves.bias)
        self.heard = nn.Parameter(torch.ones(()))
        self.sharpness = nn.Parameter(torch.tensor(3.0 / table.shape[1]))

    def forward(self, x: Tensor, heard: Tensor | None) -> Tensor:
        """x [B, N, dim], heard [B, N] -> [B, S, N, V]."""
        point = self.moves(x).unflatten(-1, (self.sources, -1)).transpose(1, 2)
        if heard is not None:
            point = point + self.heard * self.table[heard][:, None]
        # |point|^2 is the same for every entry.
        return self.sharpness * (2 * point @ self.table.T - self.table.square().sum(dim=-1))
