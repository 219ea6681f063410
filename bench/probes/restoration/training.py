"""A head: its loss, with the best order of sources (permutation-invariant training), and what it predicts.

`bench.probes.fitting` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, permutations

import numpy as np
import torch
from torch import Tensor

from bench.device import to_device
from bench.probes.examples import Batch, Example, batches
from bench.probes.fitting import Learner
from bench.probes.inputs import Ints
from bench.probes.restoration.networks import Restorer
from bench.probes.restoration.pairs import Pairs
from bench.probes.restoration.settings import Settings


class Head(Learner):
    """A network from `pairs.inputs` to `pairs.targets`, trained with one seed."""

    what = "head"
    settings: Settings
    network: Restorer

    def __init__(self, pairs: Pairs, settings: Settings, seed: int, device: str = "cpu") -> None:
        super().__init__(pairs.inputs, lambda: Restorer(pairs, settings), settings, seed, device)
        self.pairs = pairs
        self.orders = list(permutations(range(pairs.sources)))

    @property
    def crop(self) -> int:
        """Frames of the stretch."""
        return round(self.settings.crop_s * self.inputs.rate_hz)

    def _targets(self, batch: Batch) -> Tensor:
        """int64 [B, S, N, K]; what lies beyond a length is 0."""
        longest = int(batch.lengths.max())
        rows = np.zeros((len(batch.examples), self.pairs.sources, longest, len(self.pairs.sizes)), np.int64)
        for row, example, start, length in zip(rows, batch.examples, batch.starts, batch.lengths.tolist(), strict=True):
            row[:, :length] = self.pairs.targets[example.utterance][:, start : start + length]
        return to_device(torch.from_numpy(rows), self.device)

    def costs(self, given: Sequence[Tensor], targets: Tensor, lengths: Tensor) -> Tensor:
        """[B, S, S]: mean cross entropy of every output against every source, over frames and codebooks.

        given: what the network gave. targets: [B, S, N, K].
        """
        longest = targets.shape[2]
        mask = (torch.arange(longest, device=targets.device)[None] < to_device(lengths, targets.device)[:, None]).float()
        wanted = [targets[..., k].transpose(1, 2)[:, None].expand(-1, one.shape[1], -1, -1) for k, one in enumerate(given)]
        total = torch.stack(self.network.log_probabilities(given, wanted)).sum(dim=0)  # [B, S, N, S]
        return -(total * mask[:, None, :, None]).sum(dim=2) / (len(given) * mask.sum(dim=1))[:, None, None]

    def matched(self, costs: Tensor) -> tuple[Tensor, Tensor]:
        """costs [B, S, S] -> (mean cost [B] under the best order, that order's number [B])."""
        sums = [sum(costs[:, output, source] for output, source in enumerate(order)) for order in self.orders]
        each = torch.stack(sums, dim=-1) / self.pairs.sources  # type: ignore[arg-type]
        best = each.min(dim=-1)
        return best.values, best.indices

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy per token; of several sources the mean over utterances, each under its best order."""
        given = self.network(batch.tokens, batch.features, batch.lengths)
        cost, _ = self.matched(self.costs(given, self._targets(batch), batch.lengths))
        if self.pairs.sources > 1:
            return cost.mean()
        share = to_device(batch.lengths / batch.lengths.sum(), cost.device)
        return (cost * share).sum()

    @torch.inference_mode()
    def validate(self, examples: Sequence[Example]) -> tuple[float, float]:
        """(share of wrong tokens, mean loss per utterance), each utterance under its best order.

        Where the settings choose the epoch by the loss, that is first, too.
        """
        self.network.eval()
        wrong = total = torch.zeros((), device=self.device)
        count = 0
        for batch in self._alike(examples):
            given, targets = self.network(batch.tokens, batch.features, batch.lengths), self._targets(batch)
            cost, order = self.matched(self.costs(given, targets, batch.lengths))
            places = to_device(torch.tensor(self.orders), self.device).index_select(0, order)
            right = targets.gather(1, places[:, :, None, None].expand_as(targets))
            scores = self.network.scores(given)
            wrong = wrong + sum((score.argmax(-1) != right[..., k]).sum() for k, score in enumerate(scores))
            total, count = total + cost.sum(), count + right.numel()
        share, loss = float(wrong) / max(1, count), float(total) / len(examples)
        return (loss if self.settings.best == "loss" else share), loss

    @torch.inference_mode()
    def predict(self, examples: Sequence[Example]) -> dict[str, list[list[Ints]]]:
        """Utterance -> for each source, in the order of the targets, the indices [N_s, K_s] of every token stream."""
        self.network.eval()
        found = {}
        for batch in self._alike(examples):
            given = self.network(batch.tokens, batch.features, batch.lengths)
            _, order = self.matched(self.costs(given, self._targets(batch), batch.lengths))
            scores = self.network.scores(given)
            there = {}
            for row, (example, place) in enumerate(zip(batch.examples, order.cpu().tolist(), strict=True)):
                by_target = self.orders[place]
                mine = [[score[row, by_target.index(s)] for score in scores] for s in range(self.pairs.sources)]
                there[example.utterance] = [self._indices(one, self.pairs.rows[example.utterance]) for one in mine]
            # Brought over once all of them are on their way.
            for name, sources in there.items():
                found[name] = [[one.cpu().numpy().astype(np.int32) for one in streams] for streams in sources]
        return found

    def _indices(self, scores: Sequence[Tensor], rows: Sequence[int]) -> list[Tensor]:
        """Scores [N, V_k] of one source -> indices of each stream: of frames that share a token, their scores are summed."""
        made, at = [], 0
        for books, count in zip(self.pairs.streams, rows, strict=True):
            columns = [_summed(score, count).argmax(-1) for score in scores[at : at + books]]
            made.append(torch.stack(columns, dim=-1))
            at += books
        return made

    def _alike(self, examples: Sequence[Example]) -> list[Batch]:
        """Batches of utterances of one length: nothing is padded, and no prediction depends on who else is there."""
        length = self.inputs.length
        ordered = sorted(examples, key=lambda example: (length(example.utterance), example.utterance))
        groups = [list(some) for _, some in groupby(ordered, key=lambda example: length(example.utterance))]
        return [batch for some in groups for batch in batches(some, self.inputs, self.settings.batch, self.device)]


def _summed(scores: Tensor, count: int) -> Tensor:
    """[N, V] -> [count, V], the sums over the frames that `bench.probes.inputs.stretch` gave to one token."""
    if count == len(scores):
        return scores
    at = torch.clamp(torch.arange(len(scores), device=scores.device) * count // max(1, len(scores)), max=count - 1)
    return torch.zeros(count, scores.shape[1], device=scores.device).index_add_(0, at, scores)
