"""FocalCodec's speed at full size with random weights, one thread: encode, decode, streaming, conversion."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from bench.models.blocks.fast_linear import pack, store
from bench.models.blocks.matching import convert_feats
from bench.models.blocks.stored import PRECISIONS
from bench.models.focalcodec import DecodeState, EncodeState, FocalCodec
from bench.models.focalcodec.checkpoint import save

SECONDS = 10
OFFLINE = ("50hz", "25hz", "12_5hz")
CAUSAL = "50hz_4k_causal"


pytestmark = pytest.mark.usefixtures("one_thread_without_gradients")


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


MEMORY = """
import json, re, sys
from pathlib import Path
import torch
from bench.models.focalcodec.checkpoint import load_files

def told(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

torch.set_num_threads(1)
before = told("VmRSS")
codec = load_files(Path(sys.argv[1]), precision=sys.argv[2] or None)
loading = told("VmHWM")
with torch.inference_mode():
    codec.sig_to_sig(0.1 * torch.randn(1, 16000 * int(sys.argv[3])))
print(json.dumps({"before": before, "loading": loading, "peak": told("VmHWM"), "kept": told("RssAnon")}))
"""
MEMORY_S = 30


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "50hz.safetensors"
    save(codec("50hz"), path)
    return path


def peak(weights: Path, precision: str) -> dict[str, float]:
    """MiB of a process that loads the file and encodes and decodes half a minute, before and at its peak."""
    words = [sys.executable, "-c", MEMORY, str(weights), precision, str(MEMORY_S)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("precision", "share"), [("", 1.0), ("fp16", 0.5), ("int8", 0.27)])
def test_memory_is_that_of_the_weights(benchmark, weights: Path, precision: str, share: float) -> None:  # type: ignore[no-untyped-def]
    """Peak of loading: the weights in their precision and little more. Of running: 150 MiB above the loaded float32 weights.

    For comparison, the published code in such a process (torch 2.13, one thread; torch itself takes 220 MiB) peaks at 1,731
    MiB over 30 s and 1,778 over 10 s, and without its cache of position biases at 1,445 and 1,315. Measured here over 30 s: 935
    in float32, 758 with fp16, 639 with int8.
    """
    found = benchmark.pedantic(peak, (weights, precision), rounds=1)
    benchmark.extra_info |= found
    size = weights.stat().st_size / 2**20
    assert found["loading"] - found["before"] < share * size + 180
    assert found["peak"] - found["before"] < share * size + 330
