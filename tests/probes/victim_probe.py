"""A toy that a probe learns in a second. Run as a program it trains, tells every epoch, and waits to be killed."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.probes.examples import Example
from bench.probes.inputs import Inputs
from bench.probes.settings import Settings
from bench.probes.training import Probe

TINY = Settings("tiny", hidden=12, learning_rate=1e-2, batch=4, epochs=4, clip=1.0, embedding_dim=8, order="shuffled")


def toy_inputs(kinds: int = 3, count: int = 24, seed: int = 0) -> tuple[Inputs, list[Example]]:
    """Two codebooks of 8: the first shows the class of the utterance, the second is noise. Lengths 5 to 20."""
    rng = np.random.default_rng(seed)
    inputs = Inputs("toy", 50.0, sizes=(8, 8), tables=(None, None))
    examples = []
    for index in range(count):
        kind, length = index % kinds, int(rng.integers(5, 21))
        first = 2 * kind + rng.integers(0, 2, length)
        inputs.tokens[f"u{index:02d}"] = np.stack([first, rng.integers(0, 8, length)], axis=1).astype(np.int32)
        examples.append(Example(f"u{index:02d}", kind))
    return inputs, examples


def told(epoch: int, error: float) -> None:
    print(epoch, flush=True)
    if epoch == 2:
        time.sleep(60)


if __name__ == "__main__":
    torch.set_num_threads(1)
    inputs, examples = toy_inputs()
    Probe("si", inputs, 3, replace(TINY, epochs=6), 0).fit(examples[:16], examples[16:], Path(sys.argv[1]), told)
