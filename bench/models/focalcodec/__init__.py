"""FocalCodec: low-bitrate speech coding with focal modulation, offline and streaming, in plain torch."""

from __future__ import annotations

from .codec import DecodeState, EncodeState, FocalCodec
from .config import ConfigError, FocalCodecConfig
from .presets import PRESETS, preset, scaled

__all__ = [
    "PRESETS",
    "ConfigError",
    "DecodeState",
    "EncodeState",
    "FocalCodec",
    "FocalCodecConfig",
    "preset",
    "scaled",
]
