"""FreeCodec's configuration: what the paper states, and every choice it leaves open, as named fields.

"Disentangled speech codec with fewer tokens", arXiv 2412.01053. Fields marked *inferred* are not in the paper; each
is explained in the docstring of the module that uses it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class FreeCodecConfig:
    """Dimensions of one FreeCodec. The defaults are version 1 of the paper at 16 kHz."""

    sample_rate: int = 16000
    # waveform encoder and decoder: "supercodec" as in the paper; "spectral" (ours) works on STFT frames, for small CPUs
    coder: Literal["supercodec", "spectral"] = "supercodec"
    strides: tuple[int, ...] = (2, 4, 5, 8)
    channels: int = 32  # inferred: SuperCodec's default
    multipliers: tuple[int, ...] = (2, 4, 8, 16)  # inferred: SuperCodec's default
    strict: bool = False  # SuperCodec's batch leak: fusion weights of item 0 for the whole batch
    spectral_dim: int = 384  # "spectral" only: width of the ConvNeXt blocks
    spectral_encoder_blocks: int = 6  # "spectral" only
    spectral_decoder_blocks: int = 6  # "spectral" only
    spectral_fft: int = 1280  # "spectral" only: window of the inverse STFT, samples
    # "spectral" only: what the content encoder's blocks hear, "mel" or "whisper" (the stem of Whisper-tiny's encoder)
    spectral_stem: Literal["mel", "whisper"] = "mel"

    dim: int = 256  # content, prosody and everything between the encoder and the decoder
    content_codes: int = 256
    prosody_codes: int = 256
    codebook_decay: float = 0.8  # inferred: SuperCodec's quantiser
    renew_below: float = 0.0  # inferred: SuperCodec renews no codes. Share of the average code's use; see Codebook

    mel_fft: int = 1024
    mel_win: int = 1024  # inferred from the FFT size
    mel_bands: int = 80  # inferred
    prosody_bins: int = 20
    prosody_hidden: int = 256  # inferred
    prosody_units: int = 5  # inferred: residual units in each of the two stacks
    prosody_convs: int = 2  # inferred: convolution blocks in a unit
    prosody_kernel: int = 5  # inferred
    prosody_pool: int = 8
    prosody_dropout: float = 0.1  # inferred

    speaker_encoder: Literal["ecapa", "resemblyzer"] = "ecapa"
    speaker_dim: int = 192  # inferred
    speaker_groups: int = 0  # 0 = sent as it is (v1, v3); 8 = group-quantized (v2)
    speaker_codes: int = 1024

    transformer_layers: int = 4
    transformer_heads: int = 4  # inferred
    transformer_hidden: int = 1024  # inferred
    attention_window: int = 0  # inferred: frames seen on each side; 0 = all
    convnext_blocks: int = 4  # inferred
    convnext_hidden: int = 1024  # inferred
    convnext_kernel: int = 7  # inferred

    content_loss_at: Literal["encoder", "decoder"] = "encoder"
    teacher_dim: int = 1024  # width of the content loss's teacher (WavLM-Large)
    resize_augmentation: bool = False  # spectrogram-resize on the inputs of the content and prosody encoders (v3)

    def __post_init__(self) -> None:
        if self.coder not in ("supercodec", "spectral"):
            raise ValueError(f"coder {self.coder!r} is not one of supercodec, spectral")
        if self.spectral_stem not in ("mel", "whisper"):
            raise ValueError(f"spectral_stem {self.spectral_stem!r} is not one of mel, whisper")
        if self.spectral_stem == "whisper" and (self.hop, self.sample_rate) != (320, 16000):
            raise ValueError("spectral_stem 'whisper' needs 16 kHz and a hop of 320 samples")
        if self.content_loss_at not in ("encoder", "decoder"):
            raise ValueError(f"content_loss_at {self.content_loss_at!r} is not one of encoder, decoder")
        if self.speaker_encoder not in ("ecapa", "resemblyzer"):
            raise ValueError(f"speaker_encoder {self.speaker_encoder!r} is not one of ecapa, resemblyzer")
        if len(self.strides) != len(self.multipliers):
            raise ValueError(f"{len(self.strides)} strides need as many multipliers, not {len(self.multipliers)}")
        if self.dim % (2 * self.transformer_heads):
            raise ValueError(f"dim {self.dim} must be a multiple of 2 x transformer_heads ({self.transformer_heads})")
        if self.speaker_groups and self.speaker_dim % self.speaker_groups:
            raise ValueError(f"speaker_dim {self.speaker_dim} is not a multiple of speaker_groups")

    @property
    def hop(self) -> int:
        """Samples of one content frame (320)."""
        product = 1
        for stride in self.strides:
            product *= stride
        return product

    @property
    def content_rate_hz(self) -> float:
        """Content frames in a second (50)."""
        return self.sample_rate / self.hop

    @property
    def prosody_rate_hz(self) -> float:
        """Prosody frames in a second (6.25)."""
        return self.content_rate_hz / self.prosody_pool

    @property
    def min_samples(self) -> int:
        """Shortest wave that passes: 7 frames, since the decoder's first convolution reflects 6 of them."""
        return 7 * self.hop

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FreeCodecConfig:
        """The inverse of `to_dict`. Raises ValueError for a key that is no field."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"unknown FreeCodec configuration key(s): {', '.join(unknown)}")
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain)


def version(base: FreeCodecConfig, name: str) -> FreeCodecConfig:
    """The paper's v1, v2 or v3 on top of the dimensions of `base`; they differ in nothing else.

    v1: speaker vector as it is, content loss at the encoder. v2: v1 with the speaker vector in 8 groups of 1024 codes.
    v3: v1 with the content loss on the decoder's side and spectrogram-resize augmentation.
    """
    if name == "v1":
        return dataclasses.replace(base, speaker_groups=0, content_loss_at="encoder", resize_augmentation=False)
    if name == "v2":
        return dataclasses.replace(base, speaker_groups=8, content_loss_at="encoder", resize_augmentation=False)
    if name == "v3":
        return dataclasses.replace(base, speaker_groups=0, content_loss_at="decoder", resize_augmentation=True)
    raise ValueError(f"FreeCodec has versions v1, v2 and v3, not {name!r}")


V1 = version(FreeCodecConfig(), "v1")
V2 = version(FreeCodecConfig(), "v2")
V3 = version(FreeCodecConfig(), "v3")

# Trains on two CPU cores in an hour: STFT frames in place of SuperCodec, Resemblyzer in place of ECAPA, Whisper-tiny's
# width for the content loss, attention that sees what a training crop holds, renewal of unused codes.
NANO = FreeCodecConfig(
    coder="spectral",
    spectral_dim=320,
    spectral_encoder_blocks=5,
    spectral_decoder_blocks=6,
    spectral_stem="whisper",
    dim=256,
    prosody_hidden=64,
    prosody_units=1,
    prosody_dropout=0.0,
    codebook_decay=0.95,
    renew_below=0.1,
    speaker_encoder="resemblyzer",
    speaker_dim=256,
    transformer_layers=2,
    transformer_hidden=512,
    attention_window=32,
    convnext_blocks=4,
    convnext_hidden=512,
    teacher_dim=384,
)
NANO_WAVE = dataclasses.replace(NANO, coder="supercodec", channels=8)
