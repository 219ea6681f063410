"""FocalCodec (Della Libera et al., arXiv 2502.04465) and FocalCodec-Stream (arXiv 2509.16195): one speech codec,
one codebook, and every way between waveform, features, latents, tokens and codes.

waveform -> WavLM features -> compressor -> unit latents -> bits (one token a frame) -> decompressor -> decoder -> waveform

Lengths. Every step takes optional ``lengths`` [B] in its own input unit (samples, frames or tokens). A padded batch with
lengths gives, for each signal, what the signal alone gives; what lies beyond a length is zero or meaningless.
``sample_lengths_to_frames`` and ``frame_lengths_to_tokens`` translate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..blocks.matching import convert_feats, nearest
from .compressor import CompressorState
from .config import FocalCodecConfig, with_overrides
from .decoder import DecoderState
from .decompressor import DecompressorState
from .presets import preset
from .steps import Steps, check_signal
from .wavlm import EncoderState


@dataclass(frozen=True)
class EncodeState:
    """What a causal codec remembers between chunks on the encoding side; samples and tokens count from the start."""

    samples: int
    encoder: EncoderState
    compressor: CompressorState


@dataclass(frozen=True)
class DecodeState:
    """What a causal codec remembers between chunks on the decoding side."""

    tokens: int
    decompressor: DecompressorState
    decoder: DecoderState


class FocalCodec(Steps):
    """The codec as plain modules (see :class:`Steps`), with every conversion and, if causal, chunk by chunk."""

    @classmethod
    def from_config(
        cls,
        config: str | FocalCodecConfig | Mapping[str, Any] = "50hz",
        overrides: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> FocalCodec:
        """A model with random weights.

        config: the name of a published model (``50hz`` ...), a FocalCodecConfig, or its JSON form; overrides: dotted
        paths into the JSON form, e.g. ``{"encoder_config.num_layers": 2}``; seed: fixes the weights and leaves torch's
        global generator as it was. Raises ConfigError.
        """
        if isinstance(config, str):
            config = preset(config)
        elif isinstance(config, Mapping):
            config = FocalCodecConfig.from_dict(config)
        if overrides:
            config = FocalCodecConfig.from_dict(with_overrides(config.to_dict(), overrides))
        if seed is None:
            return cls(config).eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config).eval()

    @classmethod
    def from_pretrained(cls, source: str | Path = "50hz", **options: Any) -> FocalCodec:
        """A model with trained weights; see :func:`bench.models.focalcodec.checkpoint.load`."""
        from .checkpoint import load

        return load(source, **options)

    # -- steps put together --------------------------------------------------------------------------------------------

    def sig_to_lats(self, sig: Tensor, lengths: Tensor | None = None) -> Tensor:
        """sig [B, N], lengths [B] samples -> latents [B, T', bits]."""
        frames = None if lengths is None else self.sample_lengths_to_frames(lengths)
        return self.feats_to_lats(self.sig_to_feats(sig, lengths), frames)

    def sig_to_toks(self, sig: Tensor, lengths: Tensor | None = None) -> Tensor:
        """sig [B, N], lengths [B] samples -> tokens [B, T'], int64."""
        return self.lats_to_toks(self.sig_to_lats(sig, lengths))

    def sig_to_codes(self, sig: Tensor, lengths: Tensor | None = None) -> Tensor:
        """sig [B, N], lengths [B] samples -> codes [B, T', bits]."""
        return self.lats_to_codes(self.sig_to_lats(sig, lengths))

    def sig_to_qfeats(self, sig: Tensor, lengths: Tensor | None = None) -> Tensor:
        """sig [B, N], lengths [B] samples -> quantised features [B, T'', 1024]."""
        tokens = None if lengths is None else self.frame_lengths_to_tokens(self.sample_lengths_to_frames(lengths))
        return self.codes_to_qfeats(self.sig_to_codes(sig, lengths), tokens)

    def sig_to_sig(self, sig: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode and decode: sig [B, N] -> waveform of N samples (N * 1.5 at 24 kHz), cut or padded as upstream."""
        return self(sig, lengths)[2]

    def feats_to_toks(self, feats: Tensor, lengths: Tensor | None = None) -> Tensor:
        """feats [B, T, 1024], lengths [B] frames -> tokens [B, T']."""
        return self.lats_to_toks(self.feats_to_lats(feats, lengths))

    def feats_to_codes(self, feats: Tensor, lengths: Tensor | None = None) -> Tensor:
        """feats [B, T, 1024], lengths [B] frames -> codes [B, T', bits]."""
        return self.lats_to_codes(self.feats_to_lats(feats, lengths))

    def feats_to_qfeats(self, feats: Tensor, lengths: Tensor | None = None) -> Tensor:
        """feats [B, T, 1024], lengths [B] frames -> quantised features [B, T'', 1024]."""
        tokens = None if lengths is None else self.frame_lengths_to_tokens(lengths)
        return self.codes_to_qfeats(self.feats_to_codes(feats, lengths), tokens)

    def lats_to_qfeats(self, lats: Tensor, lengths: Tensor | None = None) -> Tensor:
        """lats [B, T', bits], lengths [B] tokens -> quantised features [B, T'', 1024]."""
        return self.codes_to_qfeats(self.lats_to_codes(lats), lengths)

    def toks_to_qfeats(self, toks: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens [B, T'], lengths [B] tokens -> quantised features [B, T'', 1024]."""
        return self.codes_to_qfeats(self.toks_to_codes(toks), lengths)

    def toks_to_sig(
        self,
        toks: Tensor,
        lengths: Tensor | None = None,
        matching_set: Tensor | None = None,
        topk: int = 4,
        output_length: int | None = None,
    ) -> Tensor:
        """tokens [B, T'], lengths [B] tokens -> waveform [B, T'' * hop], or of output_length samples.

        matching_set [M, 1024]: convert to the voice of these encoder features by k nearest neighbours.
        """
        return self.codes_to_sig(self.toks_to_codes(toks), lengths, matching_set, topk, output_length)

    def codes_to_sig(
        self,
        codes: Tensor,
        lengths: Tensor | None = None,
        matching_set: Tensor | None = None,
        topk: int = 4,
        output_length: int | None = None,
    ) -> Tensor:
        """As toks_to_sig, from codes [B, T', bits]."""
        feats = self.codes_to_qfeats(codes, lengths)
        if matching_set is not None:
            feats = convert_feats(feats, matching_set, topk)
        frames = None if lengths is None else lengths * prod(self.config.decompressor.upscale_factors)
        return self.feats_to_sig(feats, frames, output_length)

    def knn(self, query: Tensor, matching_set: Tensor, topk: int = 4) -> Tensor:
        """query [B, T, C], matching_set [M, C] -> the k nearest frames [B, T, k, C]."""
        return nearest(query, matching_set, topk)

    def forward(self, sig: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """sig [B, N], lengths [B] samples -> tokens [B, T'], codes [B, T', bits], waveform [B, N * rate out / in]."""
        lats = self.sig_to_lats(sig, lengths)
        codes = self.lats_to_codes(lats)
        tokens = None if lengths is None else self.frame_lengths_to_tokens(self.sample_lengths_to_frames(lengths))
        size = int(sig.shape[1] * self.sample_rate_output / self.sample_rate_input)
        return self.lats_to_toks(lats), codes, self.codes_to_sig(codes, tokens, output_length=size)

    # -- streaming -----------------------------------------------------------------------------------------------------

    def encode_chunk(self, sig: Tensor, state: EncodeState | None = None) -> tuple[Tensor, EncodeState]:
        """One chunk of a stream: sig [B, n] and the state so far -> tokens [B, n / 320] and the next state.

        n is a multiple of chunk_size except in the last chunk. Chunk by chunk equals the whole signal at once.
        """
        check_signal(sig, None)
        self._check_chunk(0 if state is None else state.samples, self.chunk_size, "samples")
        feats, encoder = self.encoder(sig, state=None if state is None else state.encoder)
        lats, compressor = self.compressor(feats, state=None if state is None else state.compressor)
        assert encoder is not None
        samples = sig.shape[1] + (0 if state is None else state.samples)
        return self.lats_to_toks(self.quantizer.prepared(lats)), EncodeState(samples, encoder, compressor)

    def decode_chunk(self, toks: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        """One chunk of a stream: tokens [B, t] and the state so far -> waveform [B, t * hop] and the next state.

        t is a multiple of the refiner's group (1 + lookahead tokens) except in the last chunk.
        """
        self._check_chunk(0 if state is None else state.tokens, 1 + self.config.decompressor.lookahead_size, "tokens")
        codes = self.toks_to_codes(toks)
        feats, decompressor = self.decompressor(codes, state=None if state is None else state.decompressor)
        wave, decoder = self.decoder(feats, state=None if state is None else state.decoder)
        tokens = toks.shape[1] + (0 if state is None else state.tokens)
        return wave, DecodeState(tokens, decompressor, decoder)

    def _check_chunk(self, seen: int, group: int, unit: str) -> None:
        if not self.causal:
            raise ValueError("this model is not causal and cannot stream; use sig_to_toks and toks_to_sig")
        if seen % group:
            raise ValueError(f"the chunk before ended inside a group of {group} {unit}, which only the last one may do")

    def info(self) -> dict[str, Any]:
        """Facts of this model: rates in Hz, bits, latency in ms, parameters."""
        return {
            "sample_rate_input": self.sample_rate_input,
            "sample_rate_output": self.sample_rate_output,
            "token_rate": self.token_rate,
            "codebook_size": self.config.quantizer.codebook_size,
            "causal": self.causal,
            "chunk_size": self.chunk_size,
            "latency": self.latency,
            "num_total_params": sum(p.numel() for p in self.parameters()),
            "config": dataclasses.asdict(self.config),
        }
