"""The probes: codebook embeddings or features -> BiLSTM -> CTC characters, or statistics pooling -> classes.

Shapes: tokens [B, N, K] int64, features [B, N, H] float32, lengths [B] frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bench.probes.inputs import Inputs
from bench.probes.settings import Settings


class Front(nn.Module):
    """Embeds each codebook (starting from the codec's own table) and pools them, with any continuous features."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        super().__init__()
        books = [
            nn.Embedding(size, settings.embedding_dim)
            if table is None
            else nn.Embedding.from_pretrained(torch.from_numpy(table.copy()), freeze=False)
            for size, table in zip(inputs.sizes, inputs.tables, strict=True)
        ]
        self.books = nn.ModuleList(books)
        widths = [book.embedding_dim for book in books]
        self.attention: nn.Module | None = None
        if settings.pooling == "attention" and widths:
            # DASB: every codebook at one width, mixed by learned weights per frame.
            self.align = nn.ModuleList(nn.Linear(width, settings.front_dim) for width in widths)
            self.attention = nn.Sequential(
                nn.Linear(settings.front_dim, settings.front_dim), nn.ReLU(), nn.Linear(settings.front_dim, 1)
            )
            widths = [settings.front_dim]
        self.project = nn.Linear(sum(widths) + inputs.feature_dim, settings.front_dim)

    def forward(self, tokens: Tensor | None, features: Tensor | None) -> Tensor:
        """-> [B, N, front_dim]."""
        parts: list[Tensor] = []
        if tokens is not None and len(self.books):
            parts = [book(tokens[..., k]) for k, book in enumerate(self.books)]
            if self.attention is not None:
                stack = torch.stack([align(part) for align, part in zip(self.align, parts, strict=True)], dim=-2)
                parts = [(self.attention(stack).softmax(dim=-2) * stack).sum(dim=-2)]
        if features is not None:
            parts.append(features)
        return self.project(torch.cat(parts, dim=-1))


class BiLSTM(nn.Module):
    """Bidirectional LSTM over true lengths (packed, so that padding is never read)."""

    def __init__(self, width: int, settings: Settings) -> None:
        super().__init__()
        dropout = settings.dropout if settings.layers > 1 else 0.0
        self.lstm = nn.LSTM(width, settings.hidden, settings.layers, batch_first=True, bidirectional=True, dropout=dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [B, N, width] -> [B, N, 2 hidden]."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class Recogniser(nn.Module):
    """Characters by CTC; class 0 is the blank."""

    def __init__(self, inputs: Inputs, classes: int, settings: Settings) -> None:
        super().__init__()
        self.front = Front(inputs, settings)
        self.body = BiLSTM(settings.front_dim, settings)
        self.head = nn.Linear(2 * settings.hidden, classes)

    def forward(self, tokens: Tensor | None, features: Tensor | None, lengths: Tensor) -> Tensor:
        """-> log-probabilities [B, N, classes]."""
        return self.head(self.body(self.front(tokens, features), lengths)).log_softmax(dim=-1)


class Classifier(nn.Module):
    """One label per utterance: BiLSTM, mean and standard deviation over time, linear; or ECAPA-TDNN (DASB)."""

    def __init__(self, inputs: Inputs, classes: int, settings: Settings) -> None:
        super().__init__()
        self.front = Front(inputs, settings)
        self.ecapa: nn.Module | None = None
        if settings.encoder == "ecapa":
            from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

            self.ecapa = ECAPA_TDNN(settings.front_dim, lin_neurons=192, attention_channels=64)
            self.head = nn.Linear(192, classes)
        else:
            self.body = BiLSTM(settings.front_dim, settings)
            self.head = nn.Linear(4 * settings.hidden, classes)

    def forward(self, tokens: Tensor | None, features: Tensor | None, lengths: Tensor) -> Tensor:
        """-> log-probabilities [B, classes]."""
        x = self.front(tokens, features)
        if self.ecapa is not None:
            pooled = self.ecapa(x, lengths / x.shape[1]).squeeze(1)
        else:
            pooled = statistics(self.body(x, lengths), lengths)
        return self.head(pooled).log_softmax(dim=-1)


def statistics(x: Tensor, lengths: Tensor) -> Tensor:
    """Mean and standard deviation over true frames: [B, N, H] -> [B, 2H]."""
    mask = (torch.arange(x.shape[1], device=x.device)[None] < lengths[:, None].to(x.device)).unsqueeze(-1)
    count = mask.sum(dim=1).clamp(min=1)
    mean = (x * mask).sum(dim=1) / count
    variance = ((x - mean.unsqueeze(1)).square() * mask).sum(dim=1) / count
    return torch.cat([mean, (variance + 1e-8).sqrt()], dim=-1)
