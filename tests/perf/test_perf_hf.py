"""Audio tokenizers of transformers through their adapters, one thread: encode and decode of a clip.

These are the classes themselves, so there is no other code to be beside. Networks are small ones: what is watched is what the
adapter adds, in the last test, as a share of the class's own time on a network of published width.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bench.adapters import hf
from bench.coding.codec import decode, encode
from tests.adapters.conftest import SMALL

SECONDS = 2


pytestmark = pytest.mark.usefixtures("one_thread")


def small(model: str) -> Any:
    return hf._random(hf.MODELS[model], SMALL[model], seed=0, codebooks=1, device="cpu")


def clip(codec: Any) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(SECONDS * codec.sample_rate)).astype(np.float32)


@pytest.mark.parametrize("model", hf.MODELS)
def test_encode(benchmark, model: str) -> None:  # type: ignore[no-untyped-def]
    codec = small(model)
    benchmark.extra_info["audio_s"] = SECONDS
    assert len(benchmark.pedantic(encode, (codec, [clip(codec)]), rounds=3, warmup_rounds=1)) == 1


@pytest.mark.parametrize("model", hf.MODELS)
def test_decode(benchmark, model: str) -> None:  # type: ignore[no-untyped-def]
    codec = small(model)
    benchmark.extra_info["audio_s"] = SECONDS
    wave = clip(codec)
    assert len(benchmark.pedantic(decode, (codec, encode(codec, [wave]), [len(wave)]), rounds=3, warmup_rounds=1)) == 1


def cpu_seconds(run: Callable[[], object], rounds: int = 4) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def test_the_adapter_adds_little_to_the_class() -> None:
    """Encode of EnCodec at its published width, the best of four; 10 % for the noise of a shared machine."""
    codec = hf._random(hf.MODELS["encodec"], {}, seed=0, codebooks=2, device="cpu")
    wave = clip(codec)
    tensor = torch.from_numpy(wave)[None, None]

    def theirs() -> None:
        with torch.inference_mode():
            codec.network.encode(tensor, bandwidth=1.5)

    ratio = cpu_seconds(lambda: encode(codec, [wave])) / cpu_seconds(theirs)
    print("encodec", ratio)
    assert ratio < 1.1
