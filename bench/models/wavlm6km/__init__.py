"""The discrete WavLM codec (WavLM6-KM): k-means over WavLM features, a Conformer that undoes it, HiFi-GAN."""

from __future__ import annotations

from .checkpoint import load, random_model
from .model import DequantizerConfig, WavLMKM, WavLMKMConfig

__all__ = ["DequantizerConfig", "WavLMKM", "WavLMKMConfig", "load", "random_model"]
