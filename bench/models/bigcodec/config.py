"""What a BigCodec network is made of; the defaults are the released model's.

Reference: BigCodec (arXiv 2409.05377v1, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class BigCodecConfig:
    """One network. `strides` are the encoder's in order; the decoder takes them reversed.

    width: channels of the first layer, doubled by every stride. dim: of the embedding; code_dim: of the codewords.
    decoder_width: channels of the decoder's first layer.
    """

    width: int = 48
    strides: tuple[int, ...] = (2, 2, 2, 5, 5)
    dilations: tuple[int, ...] = (1, 3, 9)
    lstm_layers: int = 2
    bidirectional: bool = False
    dim: int = 1024
    decoder_width: int = 1536
    codebooks: int = 1
    codebook_size: int = 8192
    code_dim: int = 8
    sample_rate: int = 16000

    @property
    def hop(self) -> int:
        """Samples per frame of codes."""
        return prod(self.strides)

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second, Hz."""
        return self.sample_rate / self.hop
