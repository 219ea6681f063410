"""Self-attention with gated relative position bias (WavLM, arXiv 2110.13900, section III-B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.context import append
from ..blocks.fast_linear import Linear
from .position_bias import PositionBias
from .spans import Spans

# Largest bias matrix alive at a time, in values. Longer inputs go through attention in blocks of queries, so that
# memory grows with T and not with its square. A CPU is fastest where a block stays near it, a device where it is large.
BIAS_VALUES = 2 * 2**20
DEVICE_BIAS_VALUES = 16 * 2**20
FEWEST_QUERIES = 32


class GatedAttention(nn.Module):
    """Multi-head attention whose position bias is scaled, for each query and head, by a gate of the query."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, num_heads, 1, 1))
        self.qkv_proj = Linear(dim, 3 * dim)
        self.out_proj = Linear(dim, dim)
        self.gru_rel_pos_linear = nn.Linear(dim // num_heads, 8)

    def gate(self, x: Tensor) -> Tensor:
        """x [B, T, H, D] -> gate [B, H, T, 1]: a * (b * const - 1) + 2 with a, b = sigmoid of summed projections."""
        logits = self.gru_rel_pos_linear(x).unflatten(-1, (2, 4)).sum(-1)
        a, b = torch.sigmoid(logits).permute(3, 0, 2, 1).unsqueeze(-1)
        return a * (b * self.gru_rel_pos_const - 1) + 2

    def forward(
        self, x: Tensor, bias: PositionBias, spans: Spans, past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [B, T, C], the last T of spans.total frames; past keys and values [B, H, P, D].

        Returns [B, T, C] and the keys and values of all P + T frames, [B, H, P + T, D].
        """
        batch, frames, _ = x.shape
        heads = x.unflatten(-1, (self.num_heads, -1))
        q, k, v = self.qkv_proj(x).view(batch, frames, 3, *heads.shape[2:]).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = append(past[0], k, 2), append(past[1], v, 2)
        q, gate = q.flip(2), self.gate(heads).flip(2)
        values = BIAS_VALUES if x.is_cpu else DEVICE_BIAS_VALUES
        rows = max(FEWEST_QUERIES, values // (batch * self.num_heads * k.shape[2]))
        outputs = []
        for first, last in spans.blocks(spans.total - frames, rows):
            start, end = spans.keys(first, last)
            mask = gate[:, :, spans.total - last : spans.total - first] * bias.reversed_rows(first, last, start, end)
            hidden = spans.hidden(first, last, start, end, x.device)
            if hidden is not None:
                mask = mask.masked_fill(hidden, -torch.inf)
            out = F.scaled_dot_product_attention(
                q[:, :, spans.total - last : spans.total - first],
                k[:, :, start - spans.oldest : end - spans.oldest],
                v[:, :, start - spans.oldest : end - spans.oldest],
                attn_mask=mask,
            )
            outputs.append(out.flip(2))
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
        return self.out_proj(y.transpose(1, 2).flatten(2)), (k, v)
