"""A probe: its network, its losses, what it recognises. `bench.probes.fitting` trains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.device import to_device
from bench.errors import BenchError
from bench.probes import text
from bench.probes.fitting import Trained, fit
from bench.probes.inputs import Inputs
from bench.probes.networks import Classifier, Recogniser
from bench.probes.settings import Settings


@dataclass(frozen=True)
class Example:
    """An utterance of a probe: `target` is a text (asr) or a class (si, ser)."""

    utterance: str
    target: str | int


@dataclass(frozen=True)
class Batch:
    """Padded: tokens [B, N, K] int64, features [B, N, H], either None; lengths [B] on the CPU; starts [B] of stretches."""

    examples: Sequence[Example]
    tokens: Tensor | None
    features: Tensor | None
    lengths: Tensor
    starts: Sequence[int] = ()


def batches(
    examples: Sequence[Example],
    inputs: Inputs,
    size: int,
    device: str,
    shuffle: np.random.Generator | None = None,
    crop: int = 0,
) -> Iterator[Batch]:
    """Batches of neighbours in length, shortest first; `shuffle` puts the batches, not the utterances, in random order,
    so that padding stays small. With a `crop`, a random stretch of so many frames stands for each utterance, padding is
    small anyhow, and the utterances are shuffled."""
    ordered = sorted(examples, key=lambda example: (inputs.length(example.utterance), example.utterance))
    if crop and shuffle is not None:
        ordered = [ordered[index] for index in shuffle.permutation(len(ordered))]
    groups = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    for index in range(len(groups)) if shuffle is None else shuffle.permutation(len(groups)):
        some = groups[index]
        spans = [_span(inputs.length(example.utterance), crop, shuffle) for example in some]
        tokens, features = (_padded(held, some, spans, device) for held in (inputs.tokens, inputs.features))
        lengths = torch.tensor([span.stop - span.start for span in spans])
        yield Batch(some, None if tokens is None else tokens.long(), features, lengths, [span.start for span in spans])


def _span(length: int, crop: int, random: np.random.Generator | None) -> slice:
    if not crop or length <= crop or random is None:
        return slice(0, length)
    start = int(random.integers(0, length - crop + 1))
    return slice(start, start + crop)


def _padded(held: Mapping[str, np.ndarray], some: Sequence[Example], spans: Sequence[slice], device: str) -> Tensor | None:
    if not held:
        return None
    rows = [torch.from_numpy(held[e.utterance][span]) for e, span in zip(some, spans, strict=True)]
    return to_device(nn.utils.rnn.pad_sequence(rows, batch_first=True), device)


class Probe:
    """A probe of `task` ("asr" or a classification) on `inputs`, trained with one seed."""

    def __init__(self, task: str, inputs: Inputs, classes: int, settings: Settings, seed: int, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        self.task, self.inputs, self.settings, self.device = task, inputs, settings, device
        make = Recogniser if task == "asr" else Classifier
        self.network = make(inputs, classes, settings).to(device)
        kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
        self.optimiser = kind(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.order = np.random.default_rng(seed)

    def _loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch: CTC per character, or negative log-likelihood."""
        if self.task != "asr":
            labels = to_device(torch.tensor([int(example.target) for example in batch.examples]), self.device)
            return nn.functional.nll_loss(scores, labels)
        spelt = [torch.tensor(text.encode(str(example.target))) for example in batch.examples]
        return torch.ctc_loss(
            scores.transpose(0, 1), to_device(torch.cat(spelt), self.device), tuple(batch.lengths.tolist()),  # type: ignore[arg-type]
            tuple(len(one) for one in spelt), blank=text.BLANK, reduction=1, zero_infinity=True,
        )  # fmt: skip

    def step(self, batch: Batch) -> float:
        """One update of the weights; returns the loss. Raises BenchError when it is not finite: the only value of a step that
        the device is waited for."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(self.network(batch.tokens, batch.features, batch.lengths), batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BenchError(f"{self.inputs.name}: the probe's loss is {value}; lower its learning_rate")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimiser.step()
        return value

    def predict(self, examples: Sequence[Example]) -> dict[str, str | int]:
        """Utterance -> text (by beam search where the settings say so) or class."""
        return self._evaluate(examples, self.settings.beam)[0]

    @torch.inference_mode()
    def _evaluate(self, examples: Sequence[Example], beam: int = 0) -> tuple[dict[str, str | int], float]:
        """Outputs, and the mean loss per utterance."""
        self.network.eval()
        found: dict[str, str | int] = {}
        total = torch.zeros((), device=self.device)
        for batch in batches(examples, self.inputs, self.settings.batch, self.device):
            scores = self.network(batch.tokens, batch.features, batch.lengths)
            total += self._loss(scores, batch) * len(batch.examples)
            outputs: Sequence[str | int]
            if self.task != "asr":
                outputs = scores.argmax(-1).cpu().tolist()
            elif beam:
                outputs = beam_search(scores, batch.lengths, beam)
            else:
                best = scores.argmax(-1).cpu().tolist()
                outputs = [text.greedy(row[:n]) for row, n in zip(best, batch.lengths.tolist(), strict=True)]
            found |= {example.utterance: output for example, output in zip(batch.examples, outputs, strict=True)}
        return found, float(total) / len(examples)

    def validate(self, examples: Sequence[Example]) -> tuple[float, float]:
        """(error, loss): corpus word or character error rate, or share of wrong labels; mean loss per utterance."""
        outputs, loss = self._evaluate(examples)
        if self.task != "asr":
            return sum(outputs[e.utterance] != e.target for e in examples) / len(examples), loss
        import jiwer

        rate = jiwer.wer if self.settings.validate == "wer" else jiwer.cer
        wanted = [text.normalise(str(example.target)) for example in examples]
        return float(rate(wanted, [str(outputs[example.utterance]) for example in examples])), loss

    def fit(
        self,
        train: Sequence[Example],
        valid: Sequence[Example],
        checkpoint: Path,
        told: Callable[[int, float], None] = lambda epoch, error: None,
    ) -> Trained:
        """Train to the end of the schedule (or go on where a killed run was) and take the best epoch's weights.

        checkpoint: file renewed after each epoch; the caller removes it. told(epoch, validation error) after each.
        """
        return fit(
            self.network, self.optimiser, self.order, self.settings,
            lambda: self._epoch(train), lambda: self.validate(valid), checkpoint, told,
        )  # fmt: skip

    def _epoch(self, train: Sequence[Example]) -> int:
        """One pass over the training utterances; returns how many frames they had."""
        s = self.settings
        shuffle = self.order if s.order == "shuffled" else None
        crop = s.crop if self.task != "asr" else 0
        frames = 0
        for batch in batches(train, self.inputs, s.batch, self.device, shuffle, crop):
            self.step(batch)
            frames += int(batch.lengths.sum())
        return frames


def beam_search(scores: Tensor, lengths: Tensor, width: int) -> list[str]:
    """CTC beam search without a language model (speechbrain's), as DASB decodes: scores [B, N, classes] -> texts."""
    from speechbrain.decoders.ctc import CTCBeamSearcher

    searcher = CTCBeamSearcher(blank_index=text.BLANK, vocab_list=["", *text.ALPHABET], beam_size=width, space_token=" ", topk=1)
    found = searcher(scores.cpu(), lengths / scores.shape[1])
    return [" ".join(hypotheses[0].text.split()) for hypotheses in found]
