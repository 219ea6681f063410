"""WavTokenizer (arXiv 2408.16532): one codebook of 4096 entries at 40 or 75 Hz, 24 kHz."""

from __future__ import annotations

from bench.models.wavtokenizer.checkpoint import from_state_dict, infer_config
from bench.models.wavtokenizer.config import PRESETS, WavTokenizerConfig
from bench.models.wavtokenizer.model import WavTokenizer

__all__ = ["PRESETS", "WavTokenizer", "WavTokenizerConfig", "from_state_dict", "infer_config"]
