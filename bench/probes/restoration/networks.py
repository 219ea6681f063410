"""A Conformer from what is heard to the tokens of each clean recording in it.

Shapes: tokens [B, N, K] int64, features [B, N, H] float32, lengths [B] frames; of each codebook what its output gives,
[B, S, N, width], of which it makes scores [B, S, N, V_k] or the log-probabilities of M wanted entries [B, S, N, M].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from bench.device import to_device
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
        outputs: list[Output] = []
        for size, table in zip(pairs.sizes, pairs.tables, strict=True):
            if settings.output == "table" and table is not None:
                outputs.append(Nearness(settings.dim, pairs.sources, torch.from_numpy(table.copy())))
            else:
                outputs.append(Linear(settings.dim, pairs.sources, size))
        self.outputs = nn.ModuleList(outputs)

    def forward(self, tokens: Tensor | None, features: Tensor | None, lengths: Tensor) -> list[Tensor]:
        """-> [B, S, N, width] of each codebook; `scores` and `log_probabilities` read it."""
        x = self.front(tokens, features)
        # Asked before they are copied: a device would have to be waited for.
        full = bool((lengths == x.shape[1]).all())
        x = self.body.encode(x, None if full else to_device(lengths, x.device) / x.shape[1])
        return [output(x, None if tokens is None else tokens[..., k]) for k, output in enumerate(self.outputs)]

    def scores(self, given: Sequence[Tensor]) -> list[Tensor]:
        """What `forward` gave -> scores [B, S, N, V_k] of each codebook: log-probabilities, less a number a frame."""
        return [output.scores(one) for output, one in zip(self._outputs(), given, strict=True)]

    def log_probabilities(self, given: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[Tensor]:
        """What `forward` gave, and entries [B, S, N, M] of each codebook -> their log-probabilities, of the same shapes."""
        return [output.log_probabilities(*both) for output, *both in zip(self._outputs(), given, wanted, strict=True)]

    def _outputs(self) -> Iterator[Output]:
        return (cast(Output, output) for output in self.outputs)


class Output(nn.Module):
    """From the body to the entries of one codebook."""

    def scores(self, given: Tensor) -> Tensor:
        """[B, S, N, width] -> [B, S, N, V]."""
        return given

    def log_probabilities(self, given: Tensor, wanted: Tensor) -> Tensor:
        """[B, S, N, width], entries [B, S, N, M] -> [B, S, N, M]."""
        return self.scores(given).log_softmax(dim=-1).gather(-1, wanted)


class Linear(Output):
    """Scores of `size` entries for each of S sources."""

    def __init__(self, dim: int, sources: int, size: int) -> None:
        super().__init__()
        self.sources = sources
        self.weights = nn.Linear(dim, sources * size)

    def forward(self, x: Tensor, heard: Tensor | None) -> Tensor:
        """x [B, N, dim], heard [B, N] -> [B, S, N, size]."""
        return self.weights(x).unflatten(-1, (self.sources, -1)).transpose(1, 2)


class Nearness(Output):
    """Scores by nearness: minus the squared distance of a point to each entry of the codec's own table.

    Entries that are alike share what is learned of them, which a few minutes of speech need. Where tokens are read, the
    point starts at the entry that was heard. Of a table of all corners of a cube (FocalCodec's binary codes) the
    probability of an entry is the product of those of its bits, so that no score of the other entries is needed.
    """

    def __init__(self, dim: int, sources: int, table: Tensor) -> None:
        super().__init__()
        spread = table.std(dim=0).clamp(min=1e-6)
        self.table: Tensor
        self.register_buffer("table", (table - table.mean(dim=0)) / spread, persistent=False)
        self.corners = are_corners(table)
        self.sources = sources
        self.moves = nn.Linear(dim, sources * table.shape[1])
        nn.init.normal_(self.moves.weight, std=0.02)
        nn.init.zeros_(self.moves.bias)
        self.heard = nn.Parameter(torch.ones(()))
        self.sharpness = nn.Parameter(torch.tensor(3.0 / table.shape[1]))

    def forward(self, x: Tensor, heard: Tensor | None) -> Tensor:
        """x [B, N, dim], heard [B, N] -> points [B, S, N, D]."""
        point = self.moves(x).unflatten(-1, (self.sources, -1)).transpose(1, 2)
        if heard is not None:
            point = point + self.heard * self.table[heard][:, None]
        return point

    def scores(self, given: Tensor) -> Tensor:
        """Points [B, S, N, D] -> [B, S, N, V]."""
        # |point|^2 is the same for every entry.
        return self.sharpness * (2 * given @ self.table.T - self.table.square().sum(dim=-1))

    def log_probabilities(self, given: Tensor, wanted: Tensor) -> Tensor:
        """Points [B, S, N, D], entries [B, S, N, M] -> [B, S, N, M]."""
        if not self.corners:
            return super().log_probabilities(given, wanted)
        # An entry differs from its neighbour across dimension d by 2 * table[d].
        return logsigmoid(4 * self.sharpness * given[..., None, :] * self.table[wanted]).sum(dim=-1)


def are_corners(table: Tensor) -> bool:
    """Whether a table [V, D] holds every corner of a cube around its mean, once."""
    signs = (table > table.mean(dim=0)).long()
    size = (table - table.mean(dim=0)).abs()
    return (
        len(table) == 2 ** table.shape[1]
        and bool((size - size[0]).abs().max() <= 1e-6 * size.max())
        and len(signs.unique(dim=0)) == len(table)
    )
