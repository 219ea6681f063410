"""What a FunCodec or FreqCodec network is made of, and the released shapes by name.

Reference: FunCodec (arXiv 2309.07405v2), tables 2 to 4, and the configuration files of its toolkit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import prod
from typing import Any, Literal

from bench.models.blocks.padded_conv import Norm
from bench.models.blocks.seanet import Side

Domain = Literal["time", "mag_phase", "mag_angle", "stft"]
CHANNELS: dict[str, int] = {"time": 1, "mag_phase": 3, "mag_angle": 2, "stft": 2}

STFT_SIZE = 512
STFT_HOP = 160
BINS = STFT_SIZE // 2 + 1


@dataclass(frozen=True)
class FunCodecConfig:
    """One network. `ratios` are the decoder's strides in order (the encoder takes them reversed): numbers of samples in
    the time domain; on the STFT grid of 160 samples (frequency, time) pairs, or numbers of frames, which make the
    network one-dimensional over planes laid end to end along frequency (the toolkit's form for an encoder of 257 C
    inputs)."""

    domain: Domain = "time"
    ratios: tuple[Any, ...] = (8, 5, 4, 2)
    dim: int = 128
    norm: Norm = "time_group_norm"
    causal: bool = False
    encoder: Side = field(default_factory=Side)
    decoder: Side = field(default_factory=Side)
    codebooks: int = 32
    codebook_size: int = 1024
    codebook_decay: float = 0.99
    dropout: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    sample_rate: int = 16000
    normalise: bool = True

    def __post_init__(self) -> None:
        if self.domain not in CHANNELS:
            raise ValueError(f"domain {self.domain!r} is none of {', '.join(CHANNELS)}")
        pairs = [isinstance(ratio, tuple) for ratio in self.ratios]
        if self.domain == "time" and any(pairs):
            raise ValueError("the time domain takes one stride per stage, not (frequency, time) pairs")
        if any(pairs):
            if not all(pairs):
                raise ValueError("strides must be all numbers or all (frequency, time) pairs")
            bins = BINS
            for ratio_f, _ in reversed(self.ratios):
                bins //= ratio_f
            if bins != 1:
                raise ValueError(f"the frequency strides of {self.ratios} leave {bins} of {BINS} bins; they must leave one")

    @property
    def strides(self) -> list[tuple[int, ...]]:
        """Strides of the decoder's stages, one number or a (frequency, time) pair each."""
        return [ratio if isinstance(ratio, tuple) else (ratio,) for ratio in self.ratios]

    @property
    def flat(self) -> bool:
        """Whether STFT planes are laid end to end along frequency, [B, 257 C, frames]."""
        return self.domain != "time" and not isinstance(self.ratios[0], tuple)

    @property
    def channels(self) -> int:
        """Channels of the representation that enters the encoder."""
        return CHANNELS[self.domain] * (BINS if self.flat else 1)

    @property
    def hop(self) -> int:
        """Samples per frame of codes."""
        if self.domain == "time":
            return prod(self.ratios)
        return STFT_HOP * prod(self.ratios if self.flat else (time for _, time in self.ratios))

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second, Hz."""
        return self.sample_rate / self.hop

    def with_(self, **changes: Any) -> FunCodecConfig:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a JSON header; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FunCodecConfig:
        """Reads `as_dict` back. Unknown keys are a ValueError."""
        values = dict(data)
        _known(values, cls)
        for side in ("encoder", "decoder"):
            if side in values:
                _known(values[side], Side)
                values[side] = Side(**values[side])
        if "ratios" in values:
            values["ratios"] = tuple(tuple(r) if isinstance(r, (list, tuple)) else int(r) for r in values["ratios"])
        if "dropout" in values:
            values["dropout"] = tuple(values["dropout"])
        return cls(**values)


def _known(values: Mapping[str, Any], cls: type) -> None:
    unknown = set(values) - {f.name for f in fields(cls)}
    if unknown:
        raise ValueError(f"unknown {cls.__name__} settings: {', '.join(sorted(unknown))}")


_LARGE_DROPOUT = (2, 4, 8, 16, 32)
_STD = Side(dilation_base=1)
_CAUSAL = Side(residual_layers=3, lstm_layers=0)
_SMALL = Side(kernel_size=3, last_kernel_size=3, dilation_base=1, lstm_layers=0)
_POINT = replace(_SMALL, residual_layers=3, conv_group_ratio=1)


def _freq(encoder: Side, decoder: Side, domain: Domain = "mag_phase") -> FunCodecConfig:
    return FunCodecConfig(domain=domain, ratios=((4, 1), (4, 1), (4, 2), (4, 1)), encoder=encoder, decoder=decoder)


PRESETS: dict[str, FunCodecConfig] = {
    "encodec_ds320": FunCodecConfig(),
    "encodec_ds640": FunCodecConfig(ratios=(8, 5, 4, 2, 2), dropout=_LARGE_DROPOUT),
    "soundstream_causal_ds320": FunCodecConfig(norm="weight_norm", causal=True, dim=512, encoder=_CAUSAL, decoder=_CAUSAL),
    "freqcodec_magphase_std_ds320": _freq(_STD, _STD),
    "freqcodec_magphase_std_ds640": _freq(_STD, _STD).with_(ratios=((4, 2), (4, 1), (4, 2), (4, 1)), dropout=_LARGE_DROPOUT),
    "freqcodec_magangle_std_ds320": _freq(_STD, _STD, "mag_angle"),
    "freqcodec_magphase_m4_ds320": _freq(_SMALL, replace(_SMALL, transposed_group_ratio=1)),
    "freqcodec_magphase_gr8_ds320": _freq(_SMALL, replace(_SMALL, transposed_group_ratio=8)),
    "freqcodec_magphase_gr1_ds320": _freq(_POINT, replace(_POINT, transposed_group_ratio=1)),
}
"""The released shapes, and those of the paper's tables and the toolkit's recipes."""
