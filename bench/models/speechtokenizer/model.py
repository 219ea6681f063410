"""SpeechTokenizer: SEANet encoder with a bidirectional LSTM, residual quantizer, SEANet decoder.

Reference: SpeechTokenizer (arXiv 2308.16692v2, section 3).
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.models.blocks.residual_vq import ResidualVQ
from bench.models.blocks.seanet import Decoder, Encoder
from bench.models.speechtokenizer.config import SpeechTokenizerConfig


class SpeechTokenizer(nn.Module):
    """The whole codec. Waves are [B, T] float32 at `config.sample_rate`, any T; all waves of a batch must have their
    true length, because padding reflects and the encoder's LSTM reads backwards too."""

    def __init__(self, config: SpeechTokenizerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SpeechTokenizerConfig()
        strides, side = [(stride,) for stride in config.strides], config.side()
        self.encoder = Encoder(1, config.dim, strides[::-1], side)
        self.quantizer = ResidualVQ(config.codebooks, config.codebook_size, config.dim)
        self.decoder = Decoder(1, config.dim, strides, side)
        same = config.dim == config.semantic_dim
        self.transform: nn.Module = nn.Identity() if same else nn.Linear(config.dim, config.semantic_dim)

    def embed(self, wave: Tensor) -> Tensor:
        """Wave [B, T] -> embeddings [B, frames, dim] before quantization; frames = ceil(T / hop)."""
        return self.encoder(wave.unsqueeze(1))

    def encode(self, wave: Tensor, levels: int | None = None, first: int = 0) -> Tensor:
        """Wave [B, T] -> codes [K, B, frames] of the codebooks from `first` up to `levels` (None: all). Codebooks before
        `first` are skipped as if they were not there: what they would have taken away stays in the residual."""
        return self.quantizer.encode(self.embed(wave), levels, first)

    def decode(self, codes: Tensor, first: int = 0) -> Tensor:
        """Codes [K, B, frames] of the codebooks from `first` on -> wave [B, frames * hop]."""
        return self.decoder(self.quantizer.decode(codes, first)).squeeze(1)

    def semantic(self, codes: Tensor) -> Tensor:
        """Codes [K, B, frames] -> what the first codebook says of the teacher's features, [B, frames, semantic_dim]."""
        return self.transform(self.quantizer.decode(codes[:1]))

    def tables(self) -> list[Tensor]:
        """The codewords of each codebook, [codebook_size, dim]."""
        return self.quantizer.tables()
