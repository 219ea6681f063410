"""Training a decoder: cross entropy of every token (and of the end), by the loop of the probes.

The token error rate of the validation part, with the true tokens before each, chooses the epoch, as in FocalCodec's recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.device import to_device
from bench.errors import BenchError
from bench.probes import text
from bench.probes.fitting import Trained, fit
from bench.probes.inputs import Inputs
from bench.probes.synthesis import patterns
from bench.probes.synthesis.network import Decoder
from bench.probes.synthesis.patterns import ABSENT
from bench.probes.synthesis.settings import Settings
from bench.probes.training import Batch, Example, batches

SAVE_EVERY_S = 20.0


class Trainer:
    """A decoder for the tokens of `inputs`, trained with one seed. voices: speaker vectors, features [1, D] by utterance."""

    def __init__(self, inputs: Inputs, voices: Inputs, settings: Settings, seed: int, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        patterns.check(settings.pattern)
        self.inputs, self.voices, self.settings, self.device = inputs, voices, settings, device
        self.network = Decoder(inputs, voices.feature_dim, settings).to(device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.order = np.random.default_rng(seed)

    def losses(self, batch: Batch) -> tuple[Tensor, int, int]:
        """(mean cross entropy, wrong tokens, tokens) of a batch."""
        names = [example.utterance for example in batch.examples]
        voices = to_device(torch.from_numpy(np.concatenate([self.voices.features[name] for name in names])), self.device)
        letters = [to_device(torch.tensor(text.encode(str(e.target))), self.device) for e in batch.examples]
        laid = [
            to_device(
                torch.from_numpy(patterns.lay(self.settings.pattern, self.inputs.tokens[name], self.network.end)), self.device
            )
            for name in names
        ]
        hidden = torch.cat(self.network(voices, letters, laid))
        wanted = torch.cat(laid)
        total, wrong, count = hidden.new_zeros(()), 0, 0
        for book, head in enumerate(self.network.heads):
            there = wanted[:, book] != ABSENT
            scores, targets = head(hidden[there]), wanted[there, book]
            total = total + nn.functional.cross_entropy(scores, targets, reduction="sum")
            wrong += int((scores.detach().argmax(-1) != targets).sum())
            count += len(targets)
        return total / count, wrong, count

    def _laid(self, utterance: str) -> patterns.Ints:
        return patterns.lay(self.settings.pattern, self.inputs.tokens[utterance], self.network.end)

    def step(self, batch: Batch) -> float:
        """One update of the weights; returns the loss. Raises BenchError when it is not finite."""
        self.optimiser.zero_grad(set_to_none=True)
        loss, _, _ = self.losses(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BenchError(f"{self.inputs.name}: the decoder's loss is {value}; lower its learning_rate")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimiser.step()
        return value

    @torch.inference_mode()
    def validate(self, examples: Sequence[Example]) -> tuple[float, float]:
        """(token error rate, mean loss of a token), with the true tokens before each."""
        self.network.eval()
        total, wrong, count = 0.0, 0, 0
        for batch in batches(examples, self.inputs, self.settings.batch, self.device):
            loss, bad, tokens = self.losses(batch)
            total, wrong, count = total + float(loss) * tokens, wrong + bad, count + tokens
        return wrong / count, total / count

    def fit(
        self,
        train: Sequence[Example],
        valid: Sequence[Example],
        checkpoint: Path,
        told: Callable[[int, float], None] = lambda epoch, error: None,
        save_every_s: float = SAVE_EVERY_S,
    ) -> Trained:
        """Train to the end of the schedule, or go on where a killed run was (see `bench.probes.fitting`)."""
        return fit(
            self.network, self.optimiser, self.order, self.settings,
            lambda: self._epoch(train), lambda: self.validate(valid), checkpoint, told, save_every_s,
        )  # fmt: skip

    def _epoch(self, train: Sequence[Example]) -> int:
        shuffle = self.order if self.settings.order == "shuffled" else None
        frames = 0
        for batch in batches(train, self.inputs, self.settings.batch, self.device, shuffle):
            self.step(batch)
            frames += int(batch.lengths.sum())
        return frames
