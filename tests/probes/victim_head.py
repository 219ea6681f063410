"""A toy that a head learns in seconds. Run as a program it trains, tells every epoch, and waits to be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from bench.coding.codes import Codes, Tokens
from bench.probes.examples import Example
from bench.probes.restoration import pairs
from bench.probes.restoration.pairs import Pairs
from bench.probes.restoration.settings import Settings
from bench.probes.restoration.training import Head

TINY = Settings(
    "tiny", dim=16, attention_heads=2, ffn=32, layers=1, kernel=5, dropout=0.1, learning_rate=3e-3, batch=2, epochs=4,
    clip=1.0, embedding_dim=8, order="shuffled", crop_s=0.3, weight_decay=0.0,
)  # fmt: skip


def codes(frames: int, seed: int) -> Codes:
    """Two codebooks at 50 Hz, one at a quarter of that, one token sent once."""
    random = np.random.default_rng(seed)
    slow = -(-frames // 4)
    streams = (
        Tokens("fast", 50.0, (8, 8), random.integers(0, 8, (frames, 2))),
        Tokens("slow", 12.5, (5,), random.integers(0, 5, (slow, 1))),
        Tokens("once", 0.0, (3,), random.integers(0, 3, (1, 1))),
    )
    return Codes(streams, frames * 320, 16000)


def toy(sources: int = 1, count: int = 6, frames: int = 20) -> tuple[Pairs, list[Example]]:
    """Random codes of what is heard, and other random ones of what was said."""
    heard = {f"u{n}": codes(frames, n) for n in range(count)}
    said = {f"u{n}": [codes(frames, 100 * (s + 1) + n) for s in range(sources)] for n in range(count)}
    return pairs.from_codes("toy", heard, said), [Example(name, "") for name in heard]


def told(epoch: int, error: float) -> None:
    print(epoch, flush=True)
    if epoch == 2:
        time.sleep(60)


if __name__ == "__main__":
    torch.set_num_threads(1)
    made, examples = toy(sources=2)
    Head(made, TINY, 0).fit(examples[:4], examples[4:], Path(sys.argv[1]), told)
