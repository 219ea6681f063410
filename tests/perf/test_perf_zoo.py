"""SpeechTokenizer, WavTokenizer and BigCodec at full size, one thread: encode and decode of a clip. test_perf_official.py sets
them beside the official classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.adapters._codebooks import untrained
from bench.models.bigcodec import BigCodec
from bench.models.speechtokenizer import SpeechTokenizer
from bench.models.wavtokenizer import PRESETS, WavTokenizer

SECONDS = 2
MAKERS: dict[str, Callable[[], Any]] = {
    "speechtokenizer": SpeechTokenizer,
    "wavtokenizer-40": lambda: WavTokenizer(PRESETS["40"]),
    "wavtokenizer-75": lambda: WavTokenizer(PRESETS["75"]),
    "bigcodec": BigCodec,
}


pytestmark = pytest.mark.usefixtures("one_thread_without_gradients")


def wave(rate_hz: int) -> torch.Tensor:
    torch.manual_seed(1)
    return 0.1 * torch.randn(1, rate_hz * SECONDS)


@pytest.mark.parametrize("name", MAKERS)
def test_encode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    network = untrained(MAKERS[name], 0)
    benchmark.extra_info["audio_s"] = SECONDS
    clip = wave(network.config.sample_rate)
    assert benchmark.pedantic(network.encode, (clip,), rounds=3, warmup_rounds=1).shape[1] == 1


@pytest.mark.parametrize("name", MAKERS)
def test_decode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    network = untrained(MAKERS[name], 0)
    benchmark.extra_info["audio_s"] = SECONDS
    codes = network.encode(wave(network.config.sample_rate))
    assert benchmark.pedantic(network.decode, (codes,), rounds=3, warmup_rounds=1).shape[0] == 1
