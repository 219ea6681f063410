"""What a WavTokenizer network is made of, and the two released shapes.

Reference: WavTokenizer (arXiv 2408.16532v3).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class WavTokenizerConfig:
    """One network. `ratios` are the encoder's strides as its decoder would take them: the encoder applies them reversed.

    width: channels of the encoder's first layer. dim: of the codebook. backbone_dim, ffn_dim, layers: of the decoder's
    ConvNeXt blocks. The inverse STFT's hop is the product of the ratios.
    """

    ratios: tuple[int, ...] = (6, 5, 5, 4)
    n_fft: int = 2400
    width: int = 32
    dim: int = 512
    codebook_size: int = 4096
    backbone_dim: int = 768
    ffn_dim: int = 2304
    layers: int = 12
    sample_rate: int = 24000

    @property
    def hop(self) -> int:
        """Samples per frame of codes."""
        return prod(self.ratios)

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second, Hz."""
        return self.sample_rate / self.hop


PRESETS: dict[str, WavTokenizerConfig] = {
    "40": WavTokenizerConfig(),
    "75": WavTokenizerConfig(ratios=(8, 5, 4, 2), n_fft=1280),
}
"""By frames per second: 600 and 320 samples a frame."""
