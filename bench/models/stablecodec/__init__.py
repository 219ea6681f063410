"""Stable Codec (Parker et al. 2024, arXiv 2411.19842): a transformer autoencoder with finite scalar quantization."""

from __future__ import annotations

from .checkpoint import load, random_model
from .config import BOTTLENECKS, Bottleneck, ConfigError, StableCodecConfig, from_model_config
from .model import StableCodec

__all__ = [
    "BOTTLENECKS",
    "Bottleneck",
    "ConfigError",
    "StableCodec",
    "StableCodecConfig",
    "from_model_config",
    "load",
    "random_model",
]
