"""Configuration of FocalCodec: five parts, each with its constructor values, and the six published models.

The JSON form is the published one: ``{encoder,compressor,quantizer,decompressor,decoder}_{name,config}``.
Defaults are those of the upstream release 0.0.2, because files that leave a key out rely on them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any


class ConfigError(ValueError):
    """A configuration that names something unknown or that does not fit together."""


@dataclass(frozen=True)
class EncoderConfig:
    """WavLM truncated to its first layers. 16 kHz in, one frame of ``dim`` values every 320 samples.

    padding (ours; not of the causal form): zeros before and after the signal, samples, for convolutions that look
    beyond a frame.
    """

    hidden_dims: tuple[int, ...] = (512,) * 7
    kernel_sizes: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    num_layers: int = 6
    dim: int = 1024
    ffn_dim: int = 4096
    num_heads: int = 16
    num_buckets: int = 320
    max_distance: int = 800
    dropout: float = 0.0
    conv_pos: int = 128
    conv_pos_groups: int = 16
    causal: bool = False
    window_size: int = 512
    lookahead_size: int = 3
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class FocalOptions:
    """What the blocks of compressor and decompressor share.

    block, activation (ours): the published models are of "focal" and "snake"; the others are those of the paper's ablation.
    """

    focal_window: int = 14
    focal_level: int = 2
    focal_factor: int = 4
    dropout: float = 0.0
    use_post_norm: bool = False
    use_layerscale: bool = False
    layerscale_init: float = 1e-4
    tanhscale_init: float = 0.5
    normalize_modulator: bool = False
    causal: bool = False
    window_size: int = 512
    block: str = "focal"
    activation: str = "snake"


@dataclass(frozen=True)
class CompressorConfig(FocalOptions):
    """Features [B, T, input_dim] -> latents [B, T', output_dim]."""

    input_dim: int = 1024
    output_dim: int = 12
    hidden_dims: tuple[int, ...] = (1024, 1024, 1024)
    downscale_factors: tuple[int, ...] = (1, 1, 1)


@dataclass(frozen=True)
class QuantizerConfig:
    """Binary spherical quantizer; codebook_size is a power of two."""

    codebook_size: int = 4096


@dataclass(frozen=True)
class LookupFreeConfig(QuantizerConfig):
    """Lookup-free quantizer: signs of latents that keep their length (the paper's ablation)."""


@dataclass(frozen=True)
class DecompressorConfig(FocalOptions):
    """Codes [B, T', input_dim] -> features [B, T'', output_dim]."""

    input_dim: int = 12
    output_dim: int = 1024
    hidden_dims: tuple[int, ...] = (1024, 1024, 1024)
    upscale_factors: tuple[int, ...] = (1, 1, 1)
    last_window_size: int = 512
    lookahead_size: int = 3


@dataclass(frozen=True)
class VocosConfig:
    """ConvNeXt backbone and inverse STFT: features [B, T, input_dim] -> wave [B, T * hop_length]."""

    input_dim: int = 1024
    num_layers: int = 8
    dim: int = 512
    ffn_dim: int = 1536
    kernel_size: int = 7
    n_fft: int = 1024
    hop_length: int = 320
    causal: bool = False


@dataclass(frozen=True)
class WaveNeXtConfig:
    """ConvNeXt backbone and a linear head: features [B, T, input_dim] -> wave [B, T * hop_length]."""

    input_dim: int = 1024
    num_layers: int = 8
    dim: int = 1024
    ffn_dim: int = 2048
    kernel_size: int = 7
    hop_length: int = 480
    causal: bool = False


@dataclass(frozen=True)
class HiFiGANConfig:
    """HiFi-GAN's generator V1 (the paper's ablation): features [B, T, input_dim] -> wave [B, T * product of strides]."""

    input_dim: int = 1024
    dim: int = 512
    strides: tuple[int, ...] = (10, 8, 2, 2)
    kernels: tuple[int, ...] = (20, 16, 4, 4)
    causal: bool = False

    @property
    def hop_length(self) -> int:
        """Samples that a frame becomes."""
        return prod(self.strides)


AnyDecoder = VocosConfig | WaveNeXtConfig | HiFiGANConfig
DECODERS: dict[str, type[AnyDecoder]] = {"Vocos": VocosConfig, "WaveNeXt": WaveNeXtConfig, "HiFiGAN": HiFiGANConfig}
QUANTIZERS: dict[str, type[QuantizerConfig]] = {
    "BinarySphericalQuantizer": QuantizerConfig,
    "LookupFreeQuantizer": LookupFreeConfig,
}
BLOCKS = ("focal", "conformer", "amp", "linear")
ACTIVATIONS = ("snake", "leaky_relu")
PART_NAMES = {
    "encoder": "WavLM",
    "compressor": "FocalEncoder",
    "decompressor": "FocalDecoder",
}
PARTS = ("encoder", "compressor", "quantizer", "decompressor", "decoder")
# Keys of older files that change nothing here: the bias table is never built, and attention has one implementation.
IGNORED = {"encoder": {"max_cached_steps", "use_flex_attention"}, "decoder": {"padding"}}
RENAMED = {"decoder": {"input_channels": "input_dim"}}


@dataclass(frozen=True)
class FocalCodecConfig:
    """All five parts. Checks that neighbours agree; see :meth:`from_dict` for the JSON form."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    compressor: CompressorConfig = field(default_factory=CompressorConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    decompressor: DecompressorConfig = field(default_factory=DecompressorConfig)
    decoder: AnyDecoder = field(default_factory=WaveNeXtConfig)

    def __post_init__(self) -> None:
        enc, comp, dec = self.encoder, self.compressor, self.decompressor
        if not len(enc.hidden_dims) == len(enc.kernel_sizes) == len(enc.strides):
            raise ConfigError("encoder: hidden_dims, kernel_sizes and strides must have one value per convolution")
        if len(comp.hidden_dims) != len(comp.downscale_factors) or len(dec.hidden_dims) != len(dec.upscale_factors):
            raise ConfigError("compressor and decompressor need one scale factor per hidden dim")
        if enc.dim % enc.num_heads:
            raise ConfigError(f"encoder: dim {enc.dim} is not a multiple of num_heads {enc.num_heads}")
        if enc.causal and any(enc.padding):
            raise ConfigError("encoder: the causal form takes no padding")
        if enc.causal and enc.window_size % (1 + enc.lookahead_size):
            raise ConfigError("encoder: window_size must be a multiple of 1 + lookahead_size")
        if any(part.dropout for part in (enc, comp, dec)):
            raise ConfigError("dropout is 0 in every FocalCodec model and is not implemented")
        for part in (comp, dec):
            for what, value, known in (("block", part.block, BLOCKS), ("activation", part.activation, ACTIVATIONS)):
                if value not in known:
                    raise ConfigError(f"{what} is {value!r}; known: {', '.join(known)}")
            if part.causal and (part.block, part.activation) != ("focal", "snake"):
                raise ConfigError(f"block {part.block!r} with {part.activation!r} has no causal form; only focal with snake has")
        bits = self.quantizer.codebook_size.bit_length() - 1
        if self.quantizer.codebook_size < 2 or 2**bits != self.quantizer.codebook_size:
            raise ConfigError(f"quantizer: codebook_size {self.quantizer.codebook_size} is not a power of two")
        for name, left, right in (
            ("compressor.input_dim and encoder.dim", comp.input_dim, enc.dim),
            ("compressor.output_dim and log2(codebook_size)", comp.output_dim, bits),
            ("decompressor.input_dim and log2(codebook_size)", dec.input_dim, bits),
            ("decoder.input_dim and decompressor.output_dim", self.decoder.input_dim, dec.output_dim),
        ):
            if left != right:
                raise ConfigError(f"{name} differ: {left} and {right}")

    @property
    def hop(self) -> int:
        """Samples of input per encoder frame (320 in every published model)."""
        return prod(self.encoder.strides)

    @property
    def bits(self) -> int:
        """Bits a token."""
        return self.quantizer.codebook_size.bit_length() - 1

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FocalCodecConfig:
        """From the published JSON form. Unknown keys are errors; old names are mapped; missing keys take defaults."""
        unknown = sorted(set(values) - {f"{part}_{what}" for part in PARTS for what in ("name", "config")})
        if unknown:
            raise ConfigError(f"unknown keys in a FocalCodec config: {', '.join(unknown)}")
        for part, name in PART_NAMES.items():
            found = values.get(f"{part}_name", name)
            if found != name:
                raise ConfigError(f"{part}_name is {found!r}; only {name!r} exists")
        kinds: dict[str, type] = {"encoder": EncoderConfig, "compressor": CompressorConfig, "decompressor": DecompressorConfig}
        choices: tuple[tuple[str, str, Mapping[str, type]], ...] = (
            ("quantizer", "BinarySphericalQuantizer", QUANTIZERS), ("decoder", "WaveNeXt", DECODERS),
        )  # fmt: skip
        for part, usual, known in choices:
            name = values.get(f"{part}_name", usual)
            if name not in known:
                raise ConfigError(f"{part}_name is {name!r}; known: {', '.join(known)}")
            kinds[part] = known[name]
        return cls(**{part: _part(part, kinds[part], values.get(f"{part}_config", {})) for part in PARTS})

    def to_dict(self) -> dict[str, Any]:
        """The published JSON form, with every key."""
        names = dict(PART_NAMES)
        for part, known in (("quantizer", QUANTIZERS), ("decoder", DECODERS)):
            names[part] = next(name for name, kind in known.items() if kind is type(getattr(self, part)))
        out: dict[str, Any] = {}
        for part in PARTS:
            out[f"{part}_name"] = names[part]
            out[f"{part}_config"] = json.loads(json.dumps(dataclasses.asdict(getattr(self, part))))
        return out


def _part(part: str, kind: type, values: Mapping[str, Any]) -> Any:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    kept: dict[str, Any] = {}
    for key, value in values.items():
        key = RENAMED.get(part, {}).get(key, key)
        if key in fields:
            kept[key] = tuple(value) if isinstance(value, (list, tuple)) else value
        elif key not in IGNORED.get(part, ()):
            raise ConfigError(f"unknown key in {part}_config: {key}; known: {', '.join(fields)}")
    return kind(**kept)


def with_overrides(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of a JSON-form config with dotted paths replaced, e.g. ``{"encoder_config.num_layers": 2}``."""
    out = json.loads(json.dumps(values))
    for path, value in overrides.items():
        *parents, last = path.split(".")
        node = out
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return out
