"""The decoder: a speaker vector, characters, then codec tokens, each from all before it (transformers' Llama classes).

Sequence of an utterance: speaker, characters, start, steps 0 to P - 2 of its pattern; the outputs from `start` on predict
steps 0 to P - 1. Attention is causal, so what pads a batch on the right changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.probes import text
from bench.probes.inputs import Inputs
from bench.probes.networks import tables
from bench.probes.synthesis.patterns import ABSENT
from bench.probes.synthesis.settings import Settings

END_BOOK = 0
"""The codebook that has an entry more, which is the end."""


class Decoder(nn.Module):
    """Embeddings of speaker, characters and codebooks; Llama; one linear output for each codebook.

    voice_width: that of speaker vectors. Codebooks start from the codec's own tables and are trained.
    """

    def __init__(self, inputs: Inputs, voice_width: int, settings: Settings) -> None:
        from transformers import LlamaConfig, LlamaModel

        super().__init__()
        self.sizes, s = inputs.sizes, settings
        self.letters = nn.Embedding(text.CLASSES, s.text_width)
        self.from_text = _fit(s.text_width, s.width)
        self.from_voice = _fit(voice_width, s.width)
        self.start = nn.Parameter(torch.randn(s.width) * 0.02)
        books = tables(inputs, s.embedding_dim)
        self.books = nn.ModuleList(books)
        self.from_books = nn.ModuleList(nn.Linear(table.embedding_dim, s.width, bias=False) for table in books)
        config = LlamaConfig(
            vocab_size=1, hidden_size=s.width, intermediate_size=s.feed_forward, num_hidden_layers=s.layers,
            num_attention_heads=s.heads, num_key_value_heads=s.key_value_heads, attention_dropout=s.dropout,
            rope_parameters={"rope_type": "default", "rope_theta": s.rope_theta}, rms_norm_eps=1e-6, use_cache=False,
            bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        self.llama = LlamaModel(config)
        del self.llama.embed_tokens  # it is handed embeddings
        if s.dropout:
            for layer in self.llama.layers:
                layer.mlp = nn.Sequential(layer.mlp, nn.Dropout(s.dropout))  # type: ignore[arg-type]
        self.heads = nn.ModuleList(
            nn.Linear(s.width, size + (book == END_BOOK), bias=False) for book, size in enumerate(inputs.sizes)
        )

    @property
    def end(self) -> int:
        """The end's token in the codebook END_BOOK."""
        return self.sizes[END_BOOK]

    def prompt(self, voice: Tensor, letters: Tensor) -> Tensor:
        """voice [D], letters [L] int64 -> [L + 2, width]: speaker, characters, start."""
        return torch.cat([self.from_voice(voice[None]), self.from_text(self.letters(letters)), self.start[None]])

    def written(self, laid: Tensor) -> Tensor:
        """What steps wrote, laid [..., K] with ABSENT -> [..., width], the sum over codebooks. The end is not read."""
        total: Tensor | None = None
        for book, (table, fit) in enumerate(zip(self.books, self.from_books, strict=True)):
            index = laid[..., book]
            there = (index != ABSENT) & (index < self.sizes[book])
            one = fit(table(index.clamp(0, self.sizes[book] - 1))) * there.unsqueeze(-1)
            total = one if total is None else total + one
        assert total is not None
        return total

    def forward(self, voices: Tensor, letters: Sequence[Tensor], laid: Sequence[Tensor]) -> list[Tensor]:
        """voices [B, D], letters [L_b], laid [P_b, K] -> hidden states [P_b, width] that predict the steps."""
        rows = [
            torch.cat([self.prompt(voice, said), self.written(steps[:-1])])
            for voice, said, steps in zip(voices, letters, laid, strict=True)
        ]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        hidden = self.llama(inputs_embeds=padded).last_hidden_state
        return [row[len(said) + 1 : len(said) + 1 + len(steps)] for row, said, steps in zip(hidden, letters, laid, strict=True)]

    def cached(self, embedded: Tensor, memory: Any) -> Tensor:
        """The last hidden state [B, width] after embedded [B, n, width], going on from `memory` (a DynamicCache)."""
        found: Tensor = self.llama(inputs_embeds=embedded, past_key_values=memory, use_cache=True).last_hidden_state
        return found[:, -1]


def _fit(width: int, wanted: int) -> nn.Module:
    return nn.Identity() if width == wanted else nn.Linear(width, wanted, bias=False)
