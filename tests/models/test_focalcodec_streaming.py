"""Causal FocalCodec chunk by chunk: recorded states and outputs, any split equal to the whole, latency."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.models.focalcodec import DecodeState, EncodeState, FocalCodec
from bench.models.focalcodec.streaming import StreamDecoder, StreamEncoder, dependency, measure

CAUSAL = ("tiny_causal", "tiny_causal_vocos_postnorm", "tiny_causal_lookahead0")


class Case:
    """A causal model with its recorded tensors."""

    def __init__(self, folder: Path, name: str) -> None:
        record = json.loads((folder / f"{name}.json").read_text())
        self.codec = FocalCodec.from_config(record["config"])
        self.codec.load_state_dict(load_file(folder / f"{name}.weights.safetensors"))
        self.codec.requires_grad_(False)
        self.tensors = load_file(folder / f"{name}.tensors.safetensors")


@pytest.fixture(scope="module")
def cases(reference: Path) -> dict[str, Case]:
    here = [name for name in CAUSAL if (reference / "focalcodec" / f"{name}.json").is_file()]
    return {name: Case(reference / "focalcodec", name) for name in here}


def assert_state(found: Tensor, expected: Tensor, what: str) -> None:
    error = (found - expected).abs().max()
    assert error <= 2e-4 * max(float(expected.abs().max()), 1.0), f"{what}: {error}"


def check_states(codec: FocalCodec, encode: EncodeState, decode: DecodeState, recorded: dict[str, Tensor]) -> int:
    """Compare with one recorded state tree; returns how many of its tensors were compared."""
    seen = 0
    for path, expected in recorded.items():
        part, *rest = (int(index) for index in path.split("."))
        if part == 0 and rest[0] == 0:
            keep = codec.config.encoder.window_size - 1 - codec.config.encoder.lookahead_size
            assert min(encode.encoder.frames, keep) == int(expected)
        elif part == 0 and rest[0] == 1:
            assert_state(encode.encoder.contexts[rest[1]], expected, path)
        elif part == 0:
            keys, values = encode.encoder.cache[rest[1]]
            # Recorded: a fixed number of slots of which the first `position` count; here: the newest frames.
            valid = int(recorded["0.0"])
            for index, found in enumerate((keys, values)):
                assert_state(found[:, :, -valid:].transpose(1, 2), expected[:, :valid, :, :, index], path)
        elif part == 1:
            _, layer, kind = rest
            # Recorded even where the kernel is 1 and nothing needs remembering; the last level is channel-major here.
            if kind == 0:
                continue
            found = encode.compressor[layer][kind]
            assert_state(found.transpose(1, 2) if kind == 3 else found, expected, path)
        elif part == 2:
            _, layer, kind = rest
            if kind == 3:
                continue
            found = decode.decompressor[layer][kind]
            assert_state(found.transpose(1, 2) if kind == 2 else found, expected, path)
        else:
            assert_state(decode.decoder[rest[1]], expected, path)
        seen += 1
    return seen


@pytest.mark.parametrize("name", CAUSAL)
def test_chunks_and_states_as_recorded(cases: dict[str, Case], name: str) -> None:
    codec, tensors = cases[name].codec, cases[name].tensors
    encode: EncodeState | None = None
    decode: DecodeState | None = None
    toks, waves, compared = [], [], 0
    for index, chunk in enumerate(tensors["sig"].split(codec.chunk_size, dim=1)):
        tok, encode = codec.encode_chunk(chunk, encode)
        wave, decode = codec.decode_chunk(tok, decode)
        toks.append(tok)
        waves.append(wave)
        prefix = f"stream.state_after_chunk{index}."
        recorded = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        compared += check_states(codec, encode, decode, recorded)
    assert compared > 30
    assert torch.equal(torch.cat(toks, 1), tensors["stream.toks"])
    torch.testing.assert_close(torch.cat(waves, 1), tensors["stream.rec_sig"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", CAUSAL)
def test_two_chunks_at_a_time_and_decoding_alone(cases: dict[str, Case], name: str) -> None:
    codec, tensors = cases[name].codec, cases[name].tensors
    encode: EncodeState | None = None
    decode: DecodeState | None = None
    toks, waves = [], []
    for chunk in tensors["sig"].split(2 * codec.chunk_size, dim=1):
        tok, encode = codec.encode_chunk(chunk, encode)
        wave, decode = codec.decode_chunk(tok, decode)
        toks.append(tok)
        waves.append(wave)
    assert torch.equal(torch.cat(toks, 1), tensors["stream2.toks"])
    torch.testing.assert_close(torch.cat(waves, 1), tensors["stream2.rec_sig"], rtol=0, atol=1e-4)
    decode, waves = None, []
    for tok in tensors["toks"].split(codec.chunk_size // codec.config.hop, dim=1):
        wave, decode = codec.decode_chunk(tok, decode)
        waves.append(wave)
    torch.testing.assert_close(torch.cat(waves, 1), tensors["stream_decode.rec_sig"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_any_split_equals_the_whole(cases: dict[str, Case], seed: int) -> None:
    draw = random.Random(seed)
    cuts, size = [draw.randint(1, 3000) for _ in range(draw.randint(1, 6))], draw.randint(1, 14080)
    codec, sig = cases["tiny_causal"].codec, cases["tiny_causal"].tensors["sig"][:, :size]
    with torch.inference_mode():
        whole = codec.sig_to_toks(sig)
        wave = codec.toks_to_sig(whole)
    encoder, decoder = StreamEncoder(codec), StreamDecoder(codec)
    toks, waves, start = [], [], 0
    while start < size:
        cut = cuts[len(toks) % len(cuts)]
        toks.append(encoder.push(sig[:, start : start + cut]))
        start += cut
    toks.append(encoder.flush())
    assert torch.equal(torch.cat(toks, 1), whole)
    for tok in whole.split(cuts[0] % 7 + 1, dim=1):
        waves.append(decoder.push(tok))
    waves.append(decoder.flush())
    torch.testing.assert_close(torch.cat(waves, 1), wave, rtol=0, atol=1e-4)


def test_group_left_open_ends_the_stream(cases: dict[str, Case]) -> None:
    codec = cases["tiny_causal"].codec
    sig = cases["tiny_causal"].tensors["sig"]
    # 1000 samples fill four frames too, but end inside the last one.
    _, encode = codec.encode_chunk(sig[:, :1000])
    with pytest.raises(ValueError, match="only the last one"):
        codec.encode_chunk(sig[:, 1000:2280], encode)
    _, decode = codec.decode_chunk(torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="only the last one"):
        codec.decode_chunk(torch.zeros(1, 4, dtype=torch.int64), decode)
    with pytest.raises(ValueError, match="nothing was pushed"):
        StreamEncoder(codec).flush()


@pytest.mark.parametrize(("name", "frames"), [("tiny_causal", 3), ("tiny_causal_lookahead0", 0)])
def test_latency_by_perturbation(cases: dict[str, Case], name: str, frames: int) -> None:
    """The last sample that matters to a frame is the first one of the last frame of its group."""
    codec = cases[name].codec
    assert dependency(codec) == 1000 * (320 * frames + 1) / 16000
    assert dependency(codec) <= codec.latency


def test_measured_latency_is_ordered(cases: dict[str, Case]) -> None:
    latency = measure(cases["tiny_causal"].codec, chunks=5, warmup=1)
    assert 0 < latency.p50_ms <= latency.p95_ms
    assert latency.chunk_ms == 80
