"""WavTokenizer: SEANet encoder, one codebook, a backbone with attention, and an inverse STFT.

Reference: WavTokenizer (arXiv 2408.16532v3, section 3).
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.models.blocks.residual_vq import ResidualVQ
from bench.models.blocks.seanet import Encoder, Side
from bench.models.blocks.vocos import VocosHead
from bench.models.wavtokenizer.backbone import Backbone
from bench.models.wavtokenizer.config import WavTokenizerConfig


class WavTokenizer(nn.Module):
    """The whole codec. Waves are [B, T] float32 at `config.sample_rate`, any T; all waves of a batch must have their
    true length, because padding reflects and the decoder normalises over all time."""

    def __init__(self, config: WavTokenizerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or WavTokenizerConfig()
        strides = [(ratio,) for ratio in reversed(config.ratios)]
        self.encoder = Encoder(1, config.dim, strides, Side(width=config.width))
        self.quantizer = ResidualVQ(1, config.codebook_size, config.dim)
        self.backbone = Backbone(config.dim, config.backbone_dim, config.ffn_dim, config.layers)
        self.head = VocosHead(config.backbone_dim, config.n_fft, config.hop)

    def embed(self, wave: Tensor) -> Tensor:
        """Wave [B, T] -> embeddings [B, frames, dim] before quantization; frames = ceil(T / hop)."""
        return self.encoder(wave.unsqueeze(1))

    def encode(self, wave: Tensor) -> Tensor:
        """Wave [B, T] -> codes [1, B, frames]."""
        return self.quantizer.encode(self.embed(wave))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [1, B, frames] -> wave [B, frames * hop]."""
        return self.decode_embedding(self.quantizer.decode(codes))

    def decode_embedding(self, embedding: Tensor) -> Tensor:
        """Codewords, or any embeddings [B, frames, dim], -> wave [B, frames * hop]."""
        return self.head(self.backbone(embedding))

    def tables(self) -> list[Tensor]:
        """The codewords of the one codebook, [codebook_size, dim]."""
        return self.quantizer.tables()
