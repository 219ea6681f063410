"""Chunks of any size in, whatever is complete out; and how long a causal FocalCodec makes its listener wait."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ..blocks.fast_linear import pack
from .codec import DecodeState, EncodeState, FocalCodec


class StreamEncoder:
    """Waveform chunks of any length -> tokens, equal to encoding the whole signal at once."""

    def __init__(self, codec: FocalCodec) -> None:
        if not codec.causal:
            raise ValueError("this model is not causal and cannot stream; use sig_to_toks")
        self.codec = codec
        self.state: EncodeState | None = None
        self._waiting: Tensor | None = None

    @torch.inference_mode()
    def push(self, sig: Tensor) -> Tensor:
        """sig [B, n] at 16 kHz -> the tokens [B, t] that are complete, perhaps none."""
        waiting = sig if self._waiting is None else torch.cat([self._waiting, sig], dim=1)
        ready = waiting.shape[1] // self.codec.chunk_size * self.codec.chunk_size
        self._waiting = waiting[:, ready:]
        return self._run(waiting[:, :ready])

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """End of the signal: the tokens [B, t] of the last, incomplete chunk. Nothing may be pushed afterwards."""
        if self._waiting is None:
            raise ValueError("nothing was pushed before flush")
        waiting, self._waiting = self._waiting, self._waiting[:, :0]
        return self._run(waiting)

    def _run(self, sig: Tensor) -> Tensor:
        if sig.shape[1] == 0:
            return torch.zeros(sig.shape[0], 0, dtype=torch.int64, device=sig.device)
        toks, self.state = self.codec.encode_chunk(sig, self.state)
        return toks


class StreamDecoder:
    """Tokens of any number -> waveform, equal to decoding all tokens at once."""

    def __init__(self, codec: FocalCodec) -> None:
        if not codec.causal:
            raise ValueError("this model is not causal and cannot stream; use toks_to_sig")
        self.codec = codec
        self.group = 1 + codec.config.decompressor.lookahead_size
        self.state: DecodeState | None = None
        self._waiting: Tensor | None = None

    @torch.inference_mode()
    def push(self, toks: Tensor) -> Tensor:
        """tokens [B, t] -> the waveform [B, n] at the output rate that is complete, perhaps none."""
        waiting = toks if self._waiting is None else torch.cat([self._waiting, toks], dim=1)
        ready = waiting.shape[1] // self.group * self.group
        self._waiting = waiting[:, ready:]
        return self._run(waiting[:, :ready])

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """End of the signal: the waveform [B, n] of the last, incomplete group. Nothing may be pushed afterwards."""
        if self._waiting is None:
            raise ValueError("nothing was pushed before flush")
        waiting, self._waiting = self._waiting, self._waiting[:, :0]
        return self._run(waiting)

    def _run(self, toks: Tensor) -> Tensor:
        if toks.shape[1] == 0:
            return torch.zeros(toks.shape[0], 0, device=toks.device)
        wave, self.state = self.codec.decode_chunk(toks, self.state)
        return wave


@dataclass(frozen=True)
class Latency:
    """Milliseconds. dependency: how far ahead of an output sample the input is that it depends on, measured by
    perturbation. chunk: length of a chunk, all of which is awaited. p50, p95: processing time per chunk, encode and
    decode together."""

    dependency_ms: float
    chunk_ms: float
    p50_ms: float
    p95_ms: float


@torch.inference_mode()
def dependency(codec: FocalCodec, chunks: int = 3) -> float:
    """Milliseconds of future input that an output sample depends on, found by changing one input sample at a time.

    Latents pass unquantised, so that no change is rounded away. The samples tried are the first, second and last of
    each frame of the last chunk; the largest way back from a changed sample to the first output it changes counts.
    """

    def resynthesise(sig: Tensor) -> Tensor:
        lats = codec.sig_to_lats(sig)
        return codec.feats_to_sig(codec.codes_to_qfeats(lats))

    hop, out_hop = codec.config.hop, codec.config.decoder.hop_length
    generator = torch.Generator().manual_seed(0)
    sig = 0.1 * torch.randn(1, codec.chunk_size * chunks, generator=generator)
    base = resynthesise(sig)
    ahead = 0.0
    for start in range(codec.chunk_size * (chunks - 1), codec.chunk_size * chunks, hop):
        for position in (start, start + 1, start + hop - 1):
            changed = sig.clone()
            changed[:, position] += 1.0
            moved = (resynthesise(changed) != base)[0].nonzero()
            if len(moved):
                ahead = max(ahead, position + 1 - int(moved[0]) * hop / out_hop)
    return 1000 * ahead / codec.sample_rate_input


@torch.inference_mode()
def measure(codec: FocalCodec, chunks: int = 50, warmup: int = 5) -> Latency:
    """Latency of a causal codec on this machine: by perturbation, and by the clock over so many chunks."""
    pack(codec)
    generator = torch.Generator().manual_seed(0)
    encoder: EncodeState | None = None
    decoder: DecodeState | None = None
    times = []
    for index in range(chunks + warmup):
        sig = 0.1 * torch.randn(1, codec.chunk_size, generator=generator)
        start = time.perf_counter()
        toks, encoder = codec.encode_chunk(sig, encoder)
        _, decoder = codec.decode_chunk(toks, decoder)
        if index >= warmup:
            times.append(1000 * (time.perf_counter() - start))
    p50, p95 = torch.tensor(times).quantile(torch.tensor([0.5, 0.95])).tolist()
    return Latency(dependency(codec), 1000 * codec.chunk_size / codec.sample_rate_input, p50, p95)
