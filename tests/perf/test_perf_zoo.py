"""SpeechTokenizer, WavTokenizer and BigCodec at full size, one thread: encode and decode of a clip, and CPU seconds beside
the official classes where their packages are importable (speechtokenizer's `model`, bigcodec)."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
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


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


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


def official_speechtokenizer() -> tuple[Callable[..., Any], Callable[..., Any]]:
    spec = find_spec("speechtokenizer")
    if spec is None or spec.origin is None:
        pytest.skip("the package speechtokenizer is not importable")
    # Its __init__ imports the trainer, which needs packages that it does not name.
    package = types.ModuleType("speechtokenizer")
    package.__path__ = [str(Path(spec.origin).parent)]
    sys.modules["speechtokenizer"] = package
    from speechtokenizer.model import SpeechTokenizer as Official

    network = Official({
        "n_filters": 64, "strides": [8, 5, 4, 2], "dimension": 1024, "semantic_dimension": 768, "bidirectional": True,
        "dilation_base": 2, "residual_kernel_size": 3, "n_residual_layers": 1, "lstm_layers": 2, "activation": "ELU",
        "codebook_size": 1024, "n_q": 8, "sample_rate": 16000,
    }).eval()  # fmt: skip
    for layer in network.quantizer.vq.layers:
        layer._codebook.inited.fill_(1)
        layer._codebook.embed.normal_()
    return lambda clip: network.encode(clip[None]), network.decode


def official_bigcodec() -> tuple[Callable[..., Any], Callable[..., Any]]:
    package = pytest.importorskip("bigcodec")
    network = package.BigCodec(
        ngf=48, use_rnn=True, rnn_bidirectional=False, rnn_num_layers=2, up_ratios=(2, 2, 2, 5, 5), dilations=(1, 3, 9),
        out_channels=1024, codebook_size=8192, vq_num_quantizers=1, codebook_dim=8,
    ).eval()  # fmt: skip
    return lambda clip: network.encode(clip[None]), network.decode


def cpu_seconds(run: Callable[[], object], rounds: int = 4) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(("name", "official"), [("speechtokenizer", official_speechtokenizer), ("bigcodec", official_bigcodec)])
def test_not_slower_than_the_official_class(benchmark, name: str, official: Callable[..., Any]) -> None:  # type: ignore[no-untyped-def]
    """CPU seconds of encode and decode, the best of four each; 10 % for the noise of a shared machine."""
    their_encode, their_decode = official()
    network = untrained(MAKERS[name], 0)
    clip = wave(16000)
    mine, theirs = network.encode(clip), their_encode(clip)
    ratios = {
        "encode": cpu_seconds(lambda: network.encode(clip)) / cpu_seconds(lambda: their_encode(clip)),
        "decode": cpu_seconds(lambda: network.decode(mine)) / cpu_seconds(lambda: their_decode(theirs)),
    }
    benchmark.pedantic(network.encode, (clip,), rounds=1)
    benchmark.extra_info.update(ratios)
    print(name, ratios)
    assert max(ratios.values()) < 1.1
