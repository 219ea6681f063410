"""The probes: codebook embeddings or features -> BiLSTM -> CTC characters, or statistics pooling -> classes.

Shapes: tokens [B, N, K] int64, features [B, N, H] float32, lengths [B] frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.device import to_device
from bench.probes.inputs import Inputs
from bench.probes.settings import Settings


def tables(inputs: Inputs, width: int) -> list[nn.Embedding]:
    """One trainable embedding for each codebook, from the codec's own table, else a random one of `width`."""
    return [
        nn.Embedding(size, width) if table is None else nn.Embedding.from_pretrained(torch.from_numpy(table.copy()), freeze=False)
        for size, table in zip(inputs.sizes, inputs.tables, strict=True)
    ]


class Front(nn.Module):
    """Embeds each codebook (starting from the codec's own table) and pools them, with any continuous features.

    `width` is that of what comes out. Tables of one width are pooled as they are, as FocalCodec's recipe does; where
    widths differ (a codec of several streams) each is first brought to one by a linear layer.
    """

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        super().__init__()
        books = tables(inputs, settings.embedding_dim)
        self.books = nn.ModuleList(books)
        widths = [book.embedding_dim for book in books]
        if inputs.feature_dim:
            widths.append(inputs.feature_dim)
        self.width = settings.width or max(widths)
        same = all(width == self.width for width in widths)
        self.align = nn.ModuleList(nn.Identity() if same else nn.Linear(width, self.width) for width in widths)
        self.weights: nn.Module
        if settings.pooling == "attention":
            self.weights = nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU(), nn.Linear(self.width, 1))
        else:
            self.weights = nn.Linear(len(widths), 1, bias=False) if len(widths) > 1 else nn.Identity()
        self.attends = settings.pooling == "attention"

    def forward(self, tokens: Tensor | None, features: Tensor | None) -> Tensor:
        """-> [B, N, width]."""
        parts = [] if tokens is None else [book(tokens[..., k]) for k, book in enumerate(self.books)]
        if features is not None:
            parts.append(features)
        stack = torch.stack([align(part) for align, part in zip(self.align, parts, strict=True)], dim=-1)
        if self.attends:
            weights = self.weights(stack.transpose(-1, -2)).softmax(dim=-2)
            return (stack @ weights).squeeze(-1)
        pooled: Tensor = self.weights(stack).squeeze(-1)
        return pooled


class BiLSTM(nn.Module):
    """Bidirectional LSTM over true lengths; padding is never read.

    Each direction is a whole-batch kernel over padded sequences: the backward one reads every sequence turned round
    within its own length. On a CPU that is three times as fast as packed sequences of differing lengths.
    """

    def __init__(self, width: int, settings: Settings) -> None:
        super().__init__()
        widths = [width, *[2 * settings.hidden] * (settings.layers - 1)]
        self.forwards = nn.ModuleList(nn.LSTM(size, settings.hidden, batch_first=True) for size in widths)
        self.backwards = nn.ModuleList(nn.LSTM(size, settings.hidden, batch_first=True) for size in widths)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [B, N, width] -> [B, N, 2 hidden]; what lies beyond a length means nothing."""
        lengths = to_device(lengths, x.device)
        turn = (lengths[:, None] - 1 - torch.arange(x.shape[1], device=x.device)[None]).clamp(min=0).unsqueeze(-1)
        for layer, (ahead, back) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            if layer:
                x = self.dropout(x)
            after = back(x.gather(1, turn.expand(-1, -1, x.shape[-1])))[0]
            x = torch.cat([ahead(x)[0], after.gather(1, turn.expand(-1, -1, after.shape[-1]))], dim=-1)
        return x


class Recogniser(nn.Module):
    """Characters by CTC; class 0 is the blank."""

    def __init__(self, inputs: Inputs, classes: int, settings: Settings) -> None:
        super().__init__()
        self.front = Front(inputs, settings)
        self.body = BiLSTM(self.front.width, settings)
        self.head = nn.Linear(2 * settings.hidden, classes)

    def forward(self, tokens: Tensor | None, features: Tensor | None, lengths: Tensor) -> Tensor:
        """-> log-probabilities [B, N, classes]."""
        scores: Tensor = self.head(self.body(self.front(tokens, features), lengths))
        return scores.log_softmax(dim=-1)


class Classifier(nn.Module):
    """One label per utterance: BiLSTM, mean and standard deviation over time, linear; or ECAPA-TDNN (DASB)."""

    def __init__(self, inputs: Inputs, classes: int, settings: Settings) -> None:
        super().__init__()
        self.front = Front(inputs, settings)
        self.ecapa: nn.Module | None = None
        if settings.encoder == "ecapa":
            from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

            c = settings.channels
            self.ecapa = ECAPA_TDNN(self.front.width, lin_neurons=192, attention_channels=64, channels=[c, c, c, c, 3 * c])
            self.head = nn.Linear(192, classes)
        else:
            self.body = BiLSTM(self.front.width, settings)
            self.head = nn.Linear(4 * settings.hidden, classes)

    def forward(self, tokens: Tensor | None, features: Tensor | None, lengths: Tensor) -> Tensor:
        """-> log-probabilities [B, classes]."""
        x = self.front(tokens, features)
        if self.ecapa is not None:
            pooled = self.ecapa(x, to_device(lengths, x.device) / x.shape[1]).squeeze(1)
        else:
            pooled = statistics(self.body(x, lengths), lengths)
        scores: Tensor = self.head(pooled)
        return scores.log_softmax(dim=-1)


def statistics(x: Tensor, lengths: Tensor) -> Tensor:
    """Mean and standard deviation over true frames: [B, N, H] -> [B, 2H]."""
    mask = (torch.arange(x.shape[1], device=x.device)[None] < to_device(lengths, x.device)[:, None]).unsqueeze(-1)
    count = mask.sum(dim=1).clamp(min=1)
    mean = (x * mask).sum(dim=1) / count
    variance = ((x - mean.unsqueeze(1)).square() * mask).sum(dim=1) / count
    return torch.cat([mean, (variance + 1e-8).sqrt()], dim=-1)
