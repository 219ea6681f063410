"""FreeCodec: content, prosody and speaker in separate streams (arXiv 2412.01053).

Signal flow (paper, section 2): wave -> content encoder -> one codebook of 256; lowest mel bins -> prosody encoder ->
one codebook of 256 at an eighth of the rate; a pretrained speaker encoder -> one vector for the clip, as it is (v1, v3)
or in 8 groups of 1024 codes (v2). Content codes -> Transformer -> ConvNeXt blocks with prosody and speaker -> waveform
decoder. The speaker encoder is no part of this network: its vectors come in ready made (see `speaker`).

Inferred: codebooks without projection, moving-average updates (the paper names a commitment loss and no codebook
loss); the speaker encoder stays frozen; a linear head on the content encoder's output (v1, v2) or on the Transformer's
(v3, before prosody and speaker enter) predicts the teacher's features for the content loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.models.blocks.vq import Codebook, GroupVQ

from .config import FreeCodecConfig
from .fusion import Fusion
from .prosody import ProsodyEncoder
from .spectral import SpectralDecoder, SpectralEncoder
from .supercodec import Decoder, Encoder


@dataclass
class Streams:
    """What is sent. content int64 [B, N]; prosody int64 [B, ceil(N / 8)]; speaker float32 [B, S], or int64
    [B, groups] where it is group-quantized."""

    content: Tensor
    prosody: Tensor
    speaker: Tensor


@dataclass
class Output:
    """What training needs of one pass.

    wave [B, N x hop]; streams; commitment: content, prosody (and speaker), each []; content_features [B, N, D]: where
    the content loss acts; teacher_guess [B, N, teacher_dim]: the head's prediction from there.
    """

    wave: Tensor
    streams: Streams
    commitment: dict[str, Tensor]
    content_features: Tensor
    teacher_guess: Tensor


class _WaveEncoder(nn.Module):
    """SuperCodec's encoder from [B, T] to [B, N, D]."""

    def __init__(self, config: FreeCodecConfig) -> None:
        super().__init__()
        self.layers = Encoder(config.channels, config.multipliers, config.strides, config.dim, config.strict)

    def forward(self, wave: Tensor) -> Tensor:
        return self.layers(wave[:, None]).transpose(1, 2)


class _WaveDecoder(nn.Module):
    """SuperCodec's decoder from [B, N, D] to [B, T]."""

    def __init__(self, config: FreeCodecConfig) -> None:
        super().__init__()
        self.layers = Decoder(config.channels, config.multipliers, config.strides, config.dim, config.strict)

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(latent.transpose(1, 2))[:, 0].float()


class FreeCodec(nn.Module):
    """The trainable network of one `FreeCodecConfig`."""

    def __init__(self, config: FreeCodecConfig) -> None:
        super().__init__()
        self.config = config
        spectral = config.coder == "spectral"
        self.content_encoder: nn.Module = SpectralEncoder(config) if spectral else _WaveEncoder(config)
        self.prosody_encoder = ProsodyEncoder(config)
        self.content_book = Codebook(config.content_codes, config.dim, config.codebook_decay, config.renew_below)
        self.prosody_book = Codebook(config.prosody_codes, config.dim, config.codebook_decay, config.renew_below)
        self.speaker_books = (
            GroupVQ(
                config.speaker_dim,
                config.speaker_groups,
                config.speaker_codes,
                config.codebook_decay,
                config.renew_below,
            )
            if config.speaker_groups
            else None
        )
        self.fusion = Fusion(config)
        self.decoder: nn.Module = SpectralDecoder(config) if spectral else _WaveDecoder(config)
        # training only
        self.teacher_head = nn.Linear(config.dim, config.teacher_dim)

    def forward(
        self,
        wave: Tensor,
        speaker: Tensor,
        augmented: Tensor | None = None,
        quantize_speaker: Tensor | bool = True,
    ) -> Output:
        """One training pass.

        wave [B, T] at config.sample_rate, T >= config.min_samples (cut down to whole frames). speaker [B, S]: the
        frozen encoder's vectors. augmented [B, T]: what the content and prosody encoders hear in place of `wave` (v3).
        quantize_speaker: False, or bool [B], lets the decoder hear the unquantized vector although the configuration
        has groups, so that one run serves v1 and v2.
        """
        wave = self._whole_frames(wave)
        heard = wave if augmented is None else self._whole_frames(augmented)
        latent = self.content_encoder(heard)
        content, content_index, content_commitment = self.content_book.quantize(latent)
        prosody, prosody_index, prosody_commitment = self.prosody_book.quantize(self.prosody_encoder(heard))
        commitment = {"content": content_commitment, "prosody": prosody_commitment}
        speaker_sent = speaker
        if self.speaker_books is not None:
            grouped, speaker_sent, commitment["speaker"] = self.speaker_books.quantize(speaker)
            chosen = torch.as_tensor(quantize_speaker, device=speaker.device).reshape(-1, 1)
            speaker = torch.where(chosen, grouped, speaker)
        context = self.fusion.context(content)
        output = self.decoder(self.fusion.inject(context, prosody, speaker))
        features = latent if self.config.content_loss_at == "encoder" else context
        return Output(
            wave=output,
            streams=Streams(content_index, prosody_index, speaker_sent),
            commitment=commitment,
            content_features=features,
            teacher_guess=self.teacher_head(features),
        )

    @torch.no_grad()
    def encode(self, wave: Tensor, speaker: Tensor) -> Streams:
        """wave [B, T] and the clip's speaker vectors [B, S] -> streams; T is cut down to whole frames."""
        wave = self._whole_frames(wave)
        content = self.content_book.nearest(self.content_encoder(wave))
        prosody = self.prosody_book.nearest(self.prosody_encoder(wave))
        return Streams(content, prosody, self.encode_speaker(speaker))

    @torch.no_grad()
    def encode_speaker(self, speaker: Tensor) -> Tensor:
        """Speaker vectors [B, S] -> what is sent of them: themselves, or indices [B, groups]."""
        return speaker if self.speaker_books is None else self.speaker_books.nearest(speaker)

    @torch.no_grad()
    def decode(self, streams: Streams) -> Tensor:
        """streams -> wave [B, N x hop]; N >= 7."""
        speaker = streams.speaker
        if self.speaker_books is not None:
            speaker = self.speaker_books.decode(speaker)
        context = self.fusion.context(self.content_book.decode(streams.content))
        return self.decoder(self.fusion.inject(context, self.prosody_book.decode(streams.prosody), speaker))

    def _whole_frames(self, wave: Tensor) -> Tensor:
        if wave.shape[1] < self.config.min_samples:
            raise ValueError(f"FreeCodec needs at least {self.config.min_samples} samples, got {wave.shape[1]}")
        return wave[:, : wave.shape[1] // self.config.hop * self.config.hop]
