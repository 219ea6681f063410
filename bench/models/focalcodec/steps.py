"""The parts of FocalCodec and each single step between waveform, features, latents, codes and tokens."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .compressor import Compressor
from .config import FocalCodecConfig, LookupFreeConfig
from .decoder import make_decoder
from .decompressor import Decompressor
from .quantizer import BinarySphericalQuantizer, LookupFreeQuantizer
from .wavlm import WavLM


class Steps(nn.Module):
    """Encoder, compressor, quantizer, decompressor, decoder; what is known of them; and one method a step."""

    def __init__(self, config: FocalCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = WavLM(config.encoder)
        self.compressor = Compressor(config.compressor)
        free = isinstance(config.quantizer, LookupFreeConfig)
        self.quantizer = LookupFreeQuantizer(config.bits) if free else BinarySphericalQuantizer(config.bits)
        self.decompressor = Decompressor(config.decompressor)
        self.decoder = make_decoder(config.decoder)

    # -- facts ---------------------------------------------------------------------------------------------------------

    @property
    def sample_rate_input(self) -> int:
        """Hz."""
        return 16000

    @property
    def sample_rate_output(self) -> int:
        """Hz: 16000 with Vocos, 24000 with WaveNeXt, by the decoder's hop."""
        return int(self.sample_rate_input * self.config.decoder.hop_length / self.config.hop)

    @property
    def sample_rate(self) -> int:
        """Hz, where input and output agree; ValueError where they do not."""
        if self.sample_rate_input != self.sample_rate_output:
            raise ValueError(
                f"this model reads {self.sample_rate_input} Hz and writes {self.sample_rate_output} Hz: "
                "use sample_rate_input and sample_rate_output"
            )
        return self.sample_rate_input

    @property
    def token_samples(self) -> int:
        """Input samples per token."""
        return self.config.hop * prod(self.config.compressor.downscale_factors)

    @property
    def token_rate(self) -> float:
        """Tokens per second."""
        return self.sample_rate_input / self.token_samples

    @property
    def causal(self) -> bool:
        """Whether all four parts are causal, so that the codec can stream."""
        config = self.config
        return all(p.causal for p in (config.encoder, config.compressor, config.decompressor, config.decoder))

    @property
    def chunk_size(self) -> int:
        """Samples that are encoded together when streaming."""
        return self.config.hop * (1 + self.config.encoder.lookahead_size)

    @property
    def latency(self) -> float | None:
        """Algorithmic latency in ms; None if the codec needs the whole signal."""
        return 1000 * self.chunk_size / self.sample_rate_input if self.causal else None

    @property
    def codebook(self) -> Tensor:
        """Codes of all tokens, [codebook size, bits]."""
        return self.quantizer.codebook(next(self.parameters()).device)

    def sample_lengths_to_frames(self, lengths: Tensor) -> Tensor:
        """Lengths in samples [B] -> frames [B]."""
        return self.encoder.feature_extractor.frame_count(lengths)

    def frame_lengths_to_tokens(self, lengths: Tensor) -> Tensor:
        """Lengths in frames [B] -> tokens [B]."""
        for factor in self.config.compressor.downscale_factors:
            lengths = -(-lengths // factor)
        return lengths

    def token_count(self, samples: int) -> int:
        """Tokens of a signal of that many samples."""
        return int(self.frame_lengths_to_tokens(self.sample_lengths_to_frames(torch.tensor(samples))))

    # -- single steps --------------------------------------------------------------------------------------------------

    def sig_to_feats(self, sig: Tensor, lengths: Tensor | None = None, relative_lengths: Tensor | None = None) -> Tensor:
        """sig [B, N] at 16 kHz, lengths [B] samples -> features [B, T, 1024].

        relative_lengths [B] in (0, 1] (instead of lengths) does what upstream does with them: only attention and its
        input are masked, so that padding still reaches the features; kept for parity with tokens made that way.
        """
        check_signal(sig, lengths)
        if relative_lengths is None or self.config.encoder.causal:
            return self.encoder(sig, lengths)[0]
        frames = self.encoder.frame_count(sig.shape[1])
        valid = (relative_lengths * frames).ceil().clamp(max=frames).long()
        return self.encoder(sig, attention_lengths=valid)[0]

    def feats_to_lats(self, feats: Tensor, lengths: Tensor | None = None) -> Tensor:
        """feats [B, T, 1024], lengths [B] frames -> latents [B, T', bits], of unit norm but for a
        lookup-free quantizer."""
        return self.quantizer.prepared(self.compressor(feats, lengths)[0])

    def lats_to_toks(self, lats: Tensor) -> Tensor:
        """lats [..., bits] -> tokens [...]."""
        return self.quantizer.lats_to_toks(lats)

    def lats_to_codes(self, lats: Tensor) -> Tensor:
        """lats [..., bits] -> codes [..., bits]."""
        return self.quantizer.lats_to_codes(lats)

    def toks_to_codes(self, toks: Tensor) -> Tensor:
        """tokens [...] -> codes [..., bits]. Raises ValueError for a token outside the codebook, on a CPU: another device
        would have to be waited for, so that its callers check before they copy."""
        if toks.is_cpu and toks.numel() and not 0 <= int(toks.min()) <= int(toks.max()) < self.config.quantizer.codebook_size:
            raise ValueError(f"tokens must be in 0 .. {self.config.quantizer.codebook_size - 1}")
        return self.quantizer.toks_to_codes(toks, next(self.parameters()).dtype)

    def codes_to_toks(self, codes: Tensor) -> Tensor:
        """codes [..., bits] -> tokens [...]."""
        return self.quantizer.lats_to_toks(codes)

    def codes_to_qfeats(self, codes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """codes [B, T', bits], lengths [B] tokens -> quantised features [B, T'', 1024]."""
        return self.decompressor(codes, lengths)[0]

    def feats_to_sig(self, feats: Tensor, lengths: Tensor | None = None, output_length: int | None = None) -> Tensor:
        """feats [B, T, 1024], lengths [B] frames -> waveform [B, T * hop], or of output_length samples."""
        return fit_length(self.decoder(feats, lengths)[0], output_length)


def check_signal(sig: Tensor, lengths: Tensor | None) -> None:
    """Raise ValueError unless sig is a non-empty [B, N] float tensor and lengths, if any, are in 1 .. N.

    Values are looked at on a CPU only: another device would have to be waited for.
    """
    if sig.ndim != 2 or sig.shape[1] == 0:
        raise ValueError(f"signal must be [B, N] with N > 0 (mono), not {tuple(sig.shape)}")
    if lengths is None:
        return
    inside = not lengths.is_cpu or 1 <= int(lengths.min()) <= int(lengths.max()) <= sig.shape[1]
    if lengths.shape != sig.shape[:1] or not inside:
        raise ValueError(f"lengths must be one number of samples in 1 .. {sig.shape[1]} per signal")


def fit_length(wave: Tensor, size: int | None) -> Tensor:
    """wave [B, N] -> [B, size]: cut at the end, or padded by repeating the last sample."""
    if size is None or size == wave.shape[1]:
        return wave
    if size < wave.shape[1]:
        return wave[:, :size]
    return F.pad(wave[:, None], (0, size - wave.shape[1]), mode="replicate")[:, 0]
