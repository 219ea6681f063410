"""Utterances with what is to be told of them, and padded batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.device import to_device
from bench.probes.inputs import Inputs


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
