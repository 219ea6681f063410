"""The six published FocalCodec models as configurations, and smaller ones of the same structure."""

from __future__ import annotations

import dataclasses
from typing import Any

from .config import (
    CompressorConfig,
    ConfigError,
    DecompressorConfig,
    EncoderConfig,
    FocalCodecConfig,
    QuantizerConfig,
    VocosConfig,
    WaveNeXtConfig,
)


def _offline(downscale: tuple[int, ...]) -> FocalCodecConfig:
    focal: dict[str, Any] = {"focal_window": 7, "focal_level": 2, "focal_factor": 2}
    return FocalCodecConfig(
        compressor=CompressorConfig(output_dim=13, hidden_dims=(1024, 512, 256), downscale_factors=downscale, **focal),
        quantizer=QuantizerConfig(8192),
        decompressor=DecompressorConfig(input_dim=13, hidden_dims=(256, 512, 1024), upscale_factors=downscale[::-1], **focal),
        decoder=VocosConfig(),
    )


def _causal(bits: int) -> FocalCodecConfig:
    return FocalCodecConfig(
        encoder=EncoderConfig(causal=True),
        compressor=CompressorConfig(output_dim=bits, causal=True),
        quantizer=QuantizerConfig(2**bits),
        decompressor=DecompressorConfig(input_dim=bits, causal=True),
        decoder=WaveNeXtConfig(causal=True),
    )


PRESETS: dict[str, FocalCodecConfig] = {
    "50hz": _offline((1, 1, 1)),
    "25hz": _offline((2, 1, 1)),
    "12_5hz": _offline((2, 2, 1)),
    "50hz_65k_causal": _causal(16),
    "50hz_4k_causal": _causal(12),
    "50hz_2k_causal": _causal(11),
}


def preset(name: str) -> FocalCodecConfig:
    """One of the six published models by name: ``50hz``, ``25hz``, ``12_5hz``, ``50hz_{65k,4k,2k}_causal``."""
    key = name.replace(".", "_").removeprefix("lucadellalib/").removeprefix("focalcodec_")
    if key not in PRESETS:
        raise ConfigError(f"no FocalCodec model {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[key]


def scaled(
    name: str,
    *,
    conv_dim: int,
    dim: int,
    ffn_dim: int,
    num_heads: int,
    num_layers: int,
    hidden_dims: tuple[int, ...],
    decoder_dim: int,
    decoder_ffn_dim: int,
    decoder_layers: int,
    conv_pos: int = 128,
    conv_pos_groups: int = 16,
) -> FocalCodecConfig:
    """A published model made smaller: same rates, bits and structure, other widths and depths.

    hidden_dims are the compressor's; the decompressor mirrors them.
    """
    base = preset(name)
    replace = dataclasses.replace
    encoder = replace(
        base.encoder,
        hidden_dims=(conv_dim,) * len(base.encoder.hidden_dims),
        dim=dim,
        ffn_dim=ffn_dim,
        num_heads=num_heads,
        num_layers=num_layers,
        conv_pos=conv_pos,
        conv_pos_groups=conv_pos_groups,
    )
    return replace(
        base,
        encoder=encoder,
        compressor=replace(base.compressor, input_dim=dim, hidden_dims=hidden_dims),
        decompressor=replace(base.decompressor, output_dim=dim, hidden_dims=hidden_dims[::-1]),
        decoder=replace(base.decoder, input_dim=dim, dim=decoder_dim, ffn_dim=decoder_ffn_dim, num_layers=decoder_layers),
    )
