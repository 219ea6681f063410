"""FocalCodec's speed at full size with random weights, one thread: encode, decode, streaming, conversion."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch

from bench.models.blocks.fast_linear import pack, store
from bench.models.blocks.matching import convert_feats
from bench.models.blocks.stored import PRECISIONS
from bench.models.focalcodec import DecodeState, EncodeState, FocalCodec

SECONDS = 10
OFFLINE = ("50hz", "25hz", "12_5hz")
CAUSAL = "50hz_4k_causal"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@cache
def codec(name: str, precision: str = "") -> FocalCodec:
    made = FocalCodec.from_config(name, seed=0).requires_grad_(False)
    if precision:
        store(made, precision)
    else:
        pack(made if made.causal else made.encoder.feature_extractor)
    return made


def signal() -> torch.Tensor:
    return 0.1 * torch.randn(1, 16000 * SECONDS, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*OFFLINE, CAUSAL])
def test_encode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.extra_info["audio_s"] = SECONDS
    toks = benchmark.pedantic(codec(name).sig_to_toks, (signal(),), rounds=3, warmup_rounds=1)
    assert toks.shape == (1, codec(name).token_count(16000 * SECONDS))


@pytest.mark.parametrize("name", [*OFFLINE, CAUSAL])
def test_decode(benchmark, name: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.extra_info["audio_s"] = SECONDS
    made = codec(name)
    count = made.token_count(16000 * SECONDS)
    toks = torch.randint(made.config.quantizer.codebook_size, (1, count))
    wave = benchmark.pedantic(made.toks_to_sig, (toks,), rounds=3, warmup_rounds=1)
    assert wave.shape[1] == count * made.token_samples * made.sample_rate_output // made.sample_rate_input


@pytest.mark.parametrize("precision", ["", *PRECISIONS])
def test_stream_a_chunk(benchmark, precision: str) -> None:  # type: ignore[no-untyped-def]
    """One chunk of 80 ms, encoded and decoded, in the middle of a stream: real time is less than 80 ms."""
    made = codec(CAUSAL, precision)
    state: list[tuple[EncodeState | None, DecodeState | None]] = [(None, None)]
    chunk = signal()[:, : made.chunk_size]

    def step() -> torch.Tensor:
        toks, encode = made.encode_chunk(chunk, state[0][0])
        wave, decode = made.decode_chunk(toks, state[0][1])
        state[0] = (encode, decode)
        return wave

    benchmark.extra_info["audio_ms"] = 1000 * made.chunk_size / made.sample_rate_input
    wave = benchmark.pedantic(step, rounds=40, warmup_rounds=5)
    assert wave.shape == (1, 1920)


def test_nearest_neighbours(benchmark) -> None:  # type: ignore[no-untyped-def]
    """Ten seconds of features against five minutes of the target's."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 500, 1024, generator=generator)
    matching = torch.randn(15000, 1024, generator=generator)
    feats = benchmark.pedantic(convert_feats, (query, matching), rounds=3, warmup_rounds=1)
    assert feats.shape == query.shape
