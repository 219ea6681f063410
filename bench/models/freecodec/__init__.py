"""FreeCodec (arXiv 2412.01053): three streams for content, prosody and speaker."""

from __future__ import annotations

from .checkpoint import as_version, freeze, load, random_model, save, without_speaker_books
from .config import NANO, NANO_WAVE, V1, V2, V3, FreeCodecConfig, version
from .model import FreeCodec, Output, Streams

__all__ = [
    "NANO",
    "NANO_WAVE",
    "V1",
    "V2",
    "V3",
    "FreeCodec",
    "FreeCodecConfig",
    "Output",
    "Streams",
    "as_version",
    "freeze",
    "load",
    "random_model",
    "save",
    "version",
    "without_speaker_books",
]
