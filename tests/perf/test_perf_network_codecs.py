"""Speed of codecs that are networks of this repository: encoding and decoding ten seconds, one thread, full size."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bench import adapters, cards
from bench.coding.codec import encode
from bench.fetch import weights

SECONDS = 10
# Stable Codec's 953 million parameters take 4 GB and a minute to draw: two of its 28 transformer blocks tell the speed of one.
SMALLER: dict[str, dict[str, Any]] = {"stablecodec@0.7": {"transformer_depths": [1, 1]}}
NAMES = ("wavlm6km@6", "stablecodec@0.7", "ticodec@1.5", "hificodec@2", "supercodec@1")


pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def made(name: str) -> Any:
    point = cards.resolve(name)
    settings = {**point.settings, "config": SMALLER[name]} if name in SMALLER else point.settings
    point = replace(point, settings=settings)
    return adapters.load(point, weights.resolve(point, "random"))


def speech(codec: Any) -> Any:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(SECONDS * codec.sample_rate)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_encode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    codec = made(name)
    wave = speech(codec)
    benchmark.extra_info["audio_s"] = SECONDS
    [codes] = benchmark.pedantic(encode, (codec, [wave]), rounds=3, warmup_rounds=1)
    assert codes.seconds == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_decode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    codec = made(name)
    codes = encode(codec, [speech(codec)])
    benchmark.extra_info["audio_s"] = SECONDS
    [wave] = benchmark.pedantic(codec.decode, (codes,), rounds=3, warmup_rounds=1)
    assert len(wave) == pytest.approx(SECONDS * codec.sample_rate, rel=0.01)
