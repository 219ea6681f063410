"""Sampling tokens from a decoder: nucleus (top-p) sampling with a generator of each sample's own.

A sample depends on the text, the voice, the weights and its seed; neither on the other samples nor on the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.probes.synthesis import patterns
from bench.probes.synthesis.network import END_BOOK, Decoder
from bench.probes.synthesis.patterns import ABSENT
from bench.probes.synthesis.settings import Settings


def nucleus(logits: NDArray[np.float64], top_p: float, temperature: float, random: np.random.Generator) -> int:
    """An index drawn from the most likely ones [V] that together have the probability `top_p`."""
    scaled = logits / max(temperature, 1e-6)
    likely = np.exp(scaled - scaled.max())
    likely /= likely.sum()
    order = np.argsort(-likely, kind="stable")
    mass = np.cumsum(likely[order])
    # The entry that passes the threshold belongs to the nucleus.
    kept = order[: int(np.searchsorted(mass, top_p)) + 1]
    return int(random.choice(kept, p=likely[kept] / likely[kept].sum()))


def generators(count: int, *about: str | int) -> list[np.random.Generator]:
    """`count` generators that `about` alone decides."""
    return [
        np.random.default_rng(int.from_bytes(hashlib.sha256(repr((*about, number)).encode()).digest()[:8], "big"))
        for number in range(count)
    ]


@torch.inference_mode()
def generate(
    decoder: Decoder, voice: Tensor, letters: Tensor, settings: Settings, randoms: Sequence[np.random.Generator],
    frames: int,
) -> list[NDArray[np.int32]]:  # fmt: skip
    """Tokens [N, K] of one sample for each generator. voice [D], letters [L] int64.

    frames: of the target. With length "target" every sample has as many; with "stop" a sample ends where the decoder says
    so (one frame at least), at the latest after `longest` times as many.
    """
    from transformers import DynamicCache

    books, pattern = len(decoder.sizes), settings.pattern
    limit = frames if settings.length == "target" else max(1, round(settings.longest * frames))
    count, device = len(randoms), voice.device
    ends = [limit] * count
    last = patterns.steps(pattern, limit, books)
    laid = np.full((count, last, books), ABSENT, np.int64)
    embedded = decoder.prompt(voice, letters)[None].expand(count, -1, -1)
    memory = DynamicCache()
    for step in range(last):
        hidden = decoder.cached(embedded, memory)
        for book in range(books):
            frame = patterns.frame_of(pattern, step, book, books)
            rows = [] if frame is None else [row for row in range(count) if frame < ends[row]]
            if frame is None or not rows:
                continue
            logits = decoder.heads[book](hidden[torch.tensor(rows, device=device)]).double().cpu().numpy()
            if book == END_BOOK and (settings.length == "target" or frame == 0):
                logits[:, decoder.end] = -np.inf
            for row, scores in zip(rows, logits, strict=True):
                token = nucleus(scores, settings.top_p, settings.temperature, randoms[row])
                if book == END_BOOK and token == decoder.end:
                    ends[row] = frame
                else:
                    laid[row, step, book] = token
        if all(patterns.step_of(pattern, end - 1, books - 1, books) <= step for end in ends):
            break
        embedded = decoder.written(torch.from_numpy(laid[:, step]).to(device))[:, None]
    return [patterns.lift(pattern, one, end) for one, end in zip(laid, ends, strict=True)]
