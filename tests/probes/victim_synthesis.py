"""A toy that a decoder learns by heart in seconds. Run as a program it trains, tells every epoch, and waits to be killed."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.probes.examples import Example
from bench.probes.inputs import Inputs
from bench.probes.synthesis.settings import Settings
from bench.probes.synthesis.training import Trainer

TINY = Settings(
    "tiny", layers=2, width=48, feed_forward=96, heads=4, dropout=0.0, text_width=48, embedding_dim=16, voice="sim_resemblyzer",
    learning_rate=5e-3, batch=3, order="shuffled", epochs=60, anneal=0.95, patience=5, clip=1.0, judge="error_rates",
    length="stop",
)  # fmt: skip
TEXTS = ("one", "two three", "it's four")


def toy(books: int = 1, size: int = 24) -> tuple[Inputs, Inputs, list[Example]]:
    """Three texts, each with tokens of its own length and a voice of its own."""
    rng = np.random.default_rng(1)
    inputs = Inputs("toy", 25.0, sizes=(size,) * books, tables=(None,) * books)
    voices = Inputs("voices", 0.0)
    for n, _ in enumerate(TEXTS):
        inputs.tokens[f"u{n}"] = rng.integers(0, size, (7 + 3 * n, books)).astype(np.int32)
        voices.features[f"u{n}"] = rng.normal(size=(1, 12)).astype(np.float32)
    return inputs, voices, [Example(f"u{n}", text) for n, text in enumerate(TEXTS)]


def told(epoch: int, error: float) -> None:
    print(epoch, flush=True)
    if epoch == 3:
        time.sleep(60)


if __name__ == "__main__":
    torch.set_num_threads(1)
    inputs, voices, examples = toy()
    trainer = Trainer(inputs, voices, replace(TINY, epochs=8, dropout=0.1), 0)
    trainer.save_every_s = 0.0
    trainer.fit(examples, examples, Path(sys.argv[1]), told)
