"""Training a decoder: cross entropy of every token (and of the end), by the loop of the probes.

The token error rate of the validation part, with the true tokens before each, chooses the epoch, as in FocalCodec's recipe.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bench.device import to_device
from bench.probes import text
from bench.probes.examples import Batch, Example, batches
from bench.probes.fitting import Learner
from bench.probes.inputs import Inputs
from bench.probes.synthesis import patterns
from bench.probes.synthesis.network import Decoder
from bench.probes.synthesis.patterns import ABSENT
from bench.probes.synthesis.settings import Settings


class Trainer(Learner):
    """A decoder for the tokens of `inputs`, trained with one seed. voices: speaker vectors, features [1, D] by utterance."""

    what = "decoder"
    settings: Settings
    network: Decoder
    save_every_s = 20.0

    def __init__(self, inputs: Inputs, voices: Inputs, settings: Settings, seed: int, device: str = "cpu") -> None:
        patterns.check(settings.pattern)
        super().__init__(inputs, lambda: Decoder(inputs, voices.feature_dim, settings), settings, seed, device)
        self.voices = voices

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy of a batch."""
        return self.losses(batch)[0]

    def losses(self, batch: Batch) -> tuple[Tensor, int, int]:
        """(mean cross entropy, wrong tokens, tokens) of a batch."""
        names = [example.utterance for example in batch.examples]
        voices = to_device(torch.from_numpy(np.concatenate([self.voices.features[name] for name in names])), self.device)
        letters = [to_device(torch.tensor(text.encode(str(e.target))), self.device) for e in batch.examples]
        laid = [to_device(torch.from_numpy(self._laid(name)), self.device) for name in names]
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

    @torch.inference_mode()
    def validate(self, examples: Sequence[Example]) -> tuple[float, float]:
        """(token error rate, mean loss of a token), with the true tokens before each."""
        self.network.eval()
        total, wrong, count = 0.0, 0, 0
        for batch in batches(examples, self.inputs, self.settings.batch, self.device):
            loss, bad, tokens = self.losses(batch)
            total, wrong, count = total + float(loss) * tokens, wrong + bad, count + tokens
        return wrong / count, total / count
