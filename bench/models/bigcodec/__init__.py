"""BigCodec (arXiv 2409.05377): one codebook of 8192 entries at 80 Hz, 16 kHz."""

from __future__ import annotations

from bench.models.bigcodec.checkpoint import from_state_dict, infer_config
from bench.models.bigcodec.config import BigCodecConfig
from bench.models.bigcodec.model import BigCodec

__all__ = ["BigCodec", "BigCodecConfig", "from_state_dict", "infer_config"]
