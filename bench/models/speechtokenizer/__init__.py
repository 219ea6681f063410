"""SpeechTokenizer (arXiv 2308.16692): a residual-quantized speech codec whose first codebook is taught by HuBERT."""

from __future__ import annotations

from bench.models.speechtokenizer.checkpoint import from_state_dict
from bench.models.speechtokenizer.config import SpeechTokenizerConfig
from bench.models.speechtokenizer.model import SpeechTokenizer

__all__ = ["SpeechTokenizer", "SpeechTokenizerConfig", "from_state_dict"]
