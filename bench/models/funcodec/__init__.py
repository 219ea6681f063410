"""FunCodec and FreqCodec (arXiv 2309.07405): residual-quantized speech codecs over samples or STFT planes."""

from __future__ import annotations

from bench.models.blocks.seanet import Side
from bench.models.blocks.states import StateDictError
from bench.models.funcodec.config import PRESETS, FunCodecConfig
from bench.models.funcodec.load import from_state_dict, infer_config, load, save
from bench.models.funcodec.model import FunCodec, Trained

__all__ = [
    "PRESETS",
    "FunCodec",
    "FunCodecConfig",
    "Side",
    "StateDictError",
    "Trained",
    "from_state_dict",
    "infer_config",
    "load",
    "save",
]
