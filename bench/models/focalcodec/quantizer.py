"""Binary spherical quantization (Zhao et al. 2024, arXiv 2406.07548): one bit per latent dimension, no parameters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinarySphericalQuantizer(nn.Module):
    """Corners of the hypercube on the unit sphere: 2^D codes of D values +-1/sqrt(D).

    Bit d is 1 where latent d is above 0 (exact zero gives 0); dimension 0 is the most significant bit.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def prepared(self, lats: Tensor) -> Tensor:
        """What the compressor gave [..., D] as latents: at unit norm."""
        return normalize(lats)

    def lats_to_toks(self, lats: Tensor) -> Tensor:
        """Latents or codes [..., D] -> tokens [...], int64."""
        weights = 2 ** torch.arange(self.bits - 1, -1, -1, device=lats.device)
        return ((lats > 0) * weights).sum(-1)

    def toks_to_codes(self, toks: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Tokens [...] in 0 .. 2^D - 1 -> codes [..., D]."""
        shifts = torch.arange(self.bits - 1, -1, -1, device=toks.device)
        bits = (toks[..., None] >> shifts) & 1
        return self._signs(bits.to(dtype))

    def lats_to_codes(self, lats: Tensor) -> Tensor:
        """Latents [..., D] -> codes [..., D] of the same dtype."""
        return self._signs((lats > 0).to(lats.dtype))

    def _signs(self, bits: Tensor) -> Tensor:
        return (2 * bits - 1) / self.bits**0.5

    def codebook(self, device: torch.device | str = "cpu") -> Tensor:
        """All codes in the order of their tokens, [2^D, D]."""
        return self.toks_to_codes(torch.arange(2**self.bits, device=device))

    def straight_through(self, lats: Tensor) -> Tensor:
        """Codes [..., D] of unit-norm latents [..., D]; the gradient passes to the latents unchanged."""
        return lats + (self.lats_to_codes(lats) - lats).detach()

    def entropy_loss(
        self, lats: Tensor, mask: Tensor | None = None, inverse_temperature: float = 100.0, gamma: float = 1.0
    ) -> Tensor:
        """Mean entropy of each latent's soft assignment minus gamma times the entropy of the mean assignment, nats.

        lats [..., D] of unit norm; mask [...] bool, true where a latent counts. The assignment is the softmax of
        2 * inverse_temperature * <latent, code> over all 2^D codes; probabilities are clamped at 1e-5 in logarithms.
        Holds [latents, 2^D] values.
        """
        flat = lats.flatten(0, -2) if mask is None else lats[mask]
        p = torch.softmax(2 * inverse_temperature * flat @ self.codebook(lats.device).to(lats.dtype).t(), dim=-1)
        return _entropy(p).mean() - gamma * _entropy(p.mean(0))


class LookupFreeQuantizer(BinarySphericalQuantizer):
    """Lookup-free quantization (Yu et al. 2024, arXiv 2310.05737): codes of D values +-1, latents of any length."""

    def prepared(self, lats: Tensor) -> Tensor:
        """What the compressor gave, as it is."""
        return lats

    def _signs(self, bits: Tensor) -> Tensor:
        return 2 * bits - 1


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.clamp(min=1e-5).log()).sum(-1)


def normalize(lats: Tensor) -> Tensor:
    """Latents [..., D] -> unit Euclidean norm."""
    return F.normalize(lats, dim=-1, eps=1e-12)
