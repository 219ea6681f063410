"""The training loop of the probes: AdamW, NewBob on the validation error, gradient clipping, the best epoch kept.

A killed training goes on after the last finished epoch and ends with the same weights; one seed gives one result on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.probes import text
from bench.probes.inputs import Inputs
from bench.probes.networks import Classifier, Recogniser
from bench.probes.settings import Settings


@dataclass(frozen=True)
class Example:
    """An utterance of a probe: `target` is a text (asr) or a class (si, ser)."""

    utterance: str
    target: str | int


@dataclass
class Trained:
    """A finished probe: test outputs per utterance, validation curve, cost."""

    outputs: dict[str, str | int]
    curve: list[float]
    best_epoch: int
    parameters: int
    seconds: float
    frames_per_s: float = 0.0
    facts: dict[str, float] = field(default_factory=dict)


def batches(
    examples: Sequence[Example], inputs: Inputs, size: int, device: str, shuffle: np.random.Generator | None = None
) -> Iterator[tuple[list[Example], Tensor | None, Tensor | None, Tensor]]:
    """Padded batches. Neighbours in length go together; the order of batches is shuffled, so that padding stays small."""
    ordered = sorted(examples, key=lambda example: (inputs.length(example.utterance), example.utterance))
    groups = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    for index in range(len(groups)) if shuffle is None else shuffle.permutation(len(groups)):
        some = groups[index]
        lengths = torch.tensor([inputs.length(example.utterance) for example in some])
        tokens = features = None
        if inputs.tokens:
            rows = [torch.from_numpy(inputs.tokens[example.utterance]) for example in some]
            tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        if inputs.features:
            rows = [torch.from_numpy(inputs.features[example.utterance]) for example in some]
            features = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        yield some, tokens, features, lengths


class Probe:
    """A probe of `task` ("asr" or a classification) on `inputs`, trained with one seed."""

    def __init__(self, task: str, inputs: Inputs, classes: int, settings: Settings, seed: int, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        self.task, self.inputs, self.settings, self.device = task, inputs, settings, device
        make = Recogniser if task == "asr" else Classifier
        self.network = make(inputs, classes, settings).to(device)
        kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
        self.optimiser = kind(
            self.network.parameters(), lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.order = np.random.default_rng(seed)

    def loss(self, some: Sequence[Example], tokens: Tensor | None, features: Tensor | None, lengths: Tensor) -> Tensor:
        """Mean loss of a batch: CTC per character, or negative log-likelihood."""
        scores = self.network(tokens, features, lengths)
        if self.task != "asr":
            return nn.functional.nll_loss(scores, torch.tensor([int(e.target) for e in some], device=self.device))
        labels = [torch.tensor(text.encode(str(example.target))) for example in some]
        return nn.functional.ctc_loss(
            scores.transpose(0, 1), torch.cat(labels).to(self.device), lengths, torch.tensor([len(label) for label in labels]),
            blank=text.BLANK, zero_infinity=True,
        )  # fmt: skip

    @torch.no_grad()
    def predict(self, examples: Sequence[Example]) -> dict[str, str | int]:
        """Utterance -> text or class."""
        self.network.eval()
        found: dict[str, str | int] = {}
        for some, tokens, features, lengths in batches(examples, self.inputs, self.settings.batch, self.device):
            scores = self.network(tokens, features, lengths)
            if self.task != "asr":
                found |= {e.utterance: int(label) for e, label in zip(some, scores.argmax(-1).tolist(), strict=True)}
            elif self.settings.beam:
                found |= dict(zip([e.utterance for e in some], beam_search(scores, lengths, self.settings.beam), strict=True))
            else:
                best = scores.argmax(-1).tolist()
                found |= {e.utterance: text.greedy(row[:n]) for e, row, n in zip(some, best, lengths.tolist(), strict=True)}
        return found

    def error(self, examples: Sequence[Example]) -> float:
        """Corpus word (or character) error rate, or share of wrong labels, over `examples`."""
        outputs = self.predict(examples)
        if self.task != "asr":
            return sum(outputs[e.utterance] != e.target for e in examples) / len(examples)
        import jiwer

        rate = jiwer.wer if self.settings.validate == "wer" else jiwer.cer
        wanted = [text.normalise(str(example.target)) for example in examples]
        return float(rate(wanted, [str(outputs[example.utterance]) for example in examples]))

    def fit(
        self, train: Sequence[Example], valid: Sequence[Example], checkpoint: Path, told: Callable[[int, float], None]
    ) -> Trained:
        """Train to the end of the schedule (or go on where a killed run was); `told(epoch, validation error)` after each."""
        from speechbrain.nnet.schedulers import NewBobScheduler

        s = self.settings
        newbob = NewBobScheduler(
            s.learning_rate, annealing_factor=s.anneal, improvement_threshold=s.improvement, patient=s.patience
        )
        curve: list[float] = []
        best: tuple[float, int, dict[str, Tensor]] = (math.inf, -1, {})
        spent, frames = 0.0, 0
        if checkpoint.is_file():
            state = torch.load(checkpoint, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            newbob.hyperparam_value, newbob.metric_values, newbob.current_patient = state["newbob"]
            curve, spent, frames = state["curve"], state["spent"], state["frames"]
            best = (state["best_error"], state["best_epoch"], state["best"])
            self.order.bit_generator.state = _plain(state["order"])
            torch.set_rng_state(state["rng"])
        for epoch in range(len(curve), s.epochs):
            start = time.perf_counter()
            self.network.train()
            for some, tokens, features, lengths in batches(train, self.inputs, s.batch, self.device, self.order):
                self.optimiser.zero_grad()
                loss = self.loss(some, tokens, features, lengths)
                if not torch.isfinite(loss):
                    where = f"{self.inputs.name}, epoch {epoch + 1}"
                    raise BenchError(f"{where}: the probe's loss is {loss.item()}; lower learning_rate")
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), s.clip)
                self.optimiser.step()
                frames += int(lengths.sum())
            curve.append(self.error(valid))
            _, rate = newbob(curve[-1])
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            if curve[-1] < best[0]:
                best = (curve[-1], epoch, {key: value.clone() for key, value in self.network.state_dict().items()})
            spent += time.perf_counter() - start
            told(epoch + 1, curve[-1])
            _save(checkpoint, {
                "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "curve": curve,
                "newbob": (newbob.hyperparam_value, newbob.metric_values, newbob.current_patient), "spent": spent,
                "frames": frames, "best_error": best[0], "best_epoch": best[1], "best": best[2],
                "order": _listed(self.order.bit_generator.state), "rng": torch.get_rng_state(),
            })  # fmt: skip
        if best[2]:
            self.network.load_state_dict(best[2])
        count = sum(parameter.numel() for parameter in self.network.parameters())
        return Trained({}, curve, best[1] + 1, count, spent, frames / max(1e-9, spent))


def beam_search(scores: Tensor, lengths: Tensor, width: int) -> list[str]:
    """CTC prefix beam search without a language model (speechbrain's), as DASB decodes."""
    from speechbrain.decoders.ctc import CTCBeamSearcher

    searcher = CTCBeamSearcher(
        blank_index=text.BLANK, vocab_list=["", *text.ALPHABET], beam_size=width, space_token=" ", topk=1
    )
    relative = lengths / scores.shape[1]
    return [hypotheses[0].text.strip() for hypotheses in searcher(scores.cpu(), relative)]


def _save(path: Path, state: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def _listed(state: Mapping[str, Any]) -> dict[str, Any]:
    """numpy's generator state with its 128-bit integers as text, which torch.load may read back."""
    return {key: _listed(value) if isinstance(value, dict) else str(value) for key, value in state.items()}


def _plain(state: dict) -> dict:
    made: dict = {}
    for key, value in state.items():
        made[key] = _plain(value) if isinstance(value, dict) else value if key == "bit_generator" else int(value)
    return made
