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

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        """(mean cross entropy, wrong tokens, tokens) of a batch."""
        names = [example.utterance for example in batch.examples]
        voices = to_device(torch.from_numpy(np.concatenate([self.voices.features[name] for name in names])), self.device)
        letters = [to_device(torch.tensor(text.encode(str(e.target))), self.device) for e in batch.examples]
        steps = [torch.from_numpy(self._laid(name)) for name in names]
        hidden = torch.cat(self.network(voices, letters, [to_device(one, self.device) for one in steps]))
        wanted = torch.cat(steps)
        total, wrong, count = hidden.new_zeros(()), torch.zeros((), dtype=torch.int64, device=self.device), 0
        for book, head in enumerate(self.network.heads):
            # Chosen on the host, which a device would make wait for how many there are.
            there = (wanted[:, book] != ABSENT).nonzero()[:, 0]
            targets = to_device(wanted[there, book], self.device)
            scores = head(hidden.index_select(0, to_device(there, self.device)))
            total = total + nn.functional.cross_entropy(scores, targets, reduction="sum")
            wrong = wrong + (scores.detach().argmax(-1) != targets).sum()
            count += len(targets)
        return total / count, wrong, count

    def _laid(self, utterance: str) -> patterns.Ints:
        return patterns.lay(self.settings.pattern, self.inputs.tokens[utterance], self.network.end)

    @torch.inference_mode()
    def validate(self, examples: Sequence[Example]) -> tuple[float, float]:
        """(token error rate, mean loss of a token), with the true tokens before each."""
        self.network.eval()
        found = [self.losses(batch) for batch in batches(examples, self.inputs, self.settings.batch, self.device)]
        # Brought over once all of them are on their way.
        total = sum(float(loss) * tokens for loss, _, tokens in found)
        count = sum(tokens for *_, tokens in found)
        return sum(int(wrong) for _, wrong, _ in found) / count, total / count
