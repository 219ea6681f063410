"""TiCodec (Ren et al. 2023, arXiv 2310.00014) and HiFi-Codec (Yang et al. 2023, arXiv 2305.02765) in plain torch."""

from __future__ import annotations

from .checkpoint import load, random_model
from .model import HIFICODEC, TICODEC, TiCodec, TiCodecConfig

__all__ = ["HIFICODEC", "TICODEC", "TiCodec", "TiCodecConfig", "load", "random_model"]
