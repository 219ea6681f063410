"""Which keys each query of the encoder's attention sees."""

from __future__ import annotations

import torch
from torch import Tensor


class Spans:
    """All keys of a signal or, if causal, a window of keys that ends with the query's group.

    Positions are frames since the start of the signal. ``oldest`` is the position of the oldest key at hand, ``total``
    the number of frames so far, ``lengths`` [B] the true lengths in a padded batch (None: all are full).
    Causal: query p of group g = p // (1 + lookahead) sees keys [end - window, end) with end the end of its group or of
    the signal.
    """

    def __init__(self, oldest: int, total: int, lengths: Tensor | None, causal: bool, window: int, lookahead: int) -> None:
        self.oldest = oldest
        self.total = total
        self.lengths = lengths
        self.causal = causal
        self.window = window
        self.group = 1 + lookahead if causal else 1
        # Asked for once: a device is waited for.
        self.shortest = total if lengths is None or not causal else int(lengths.min())

    def blocks(self, first: int, rows: int) -> list[tuple[int, int]]:
        """Ranges of at most about ``rows`` queries that cover [first, total) and never split a group."""
        if self.causal:
            # Short blocks also keep keys outside the window out of the product.
            rows = min(rows, self.window // 2)
        step = max(rows // self.group, 1) * self.group
        return [(start, min(start + step, self.total)) for start in range(first, self.total, step)]

    def keys(self, first: int, last: int) -> tuple[int, int]:
        """Range of keys that any of the queries [first, last) may see."""
        if not self.causal:
            return self.oldest, self.total
        earliest = min(self._end(first), self.shortest)
        return max(self.oldest, earliest - self.window), self._end(last - 1)

    def hidden(self, first: int, last: int, start: int, end: int, device: torch.device) -> Tensor | None:
        """Keys [start, end) that queries last-1, ..., first must not see: bool [B or 1, 1, queries or 1, keys]."""
        keys = torch.arange(start, end, device=device)
        if not self.causal:
            return None if self.lengths is None else (keys >= self.lengths[:, None])[:, None, None, :]
        if self.lengths is None and self._end(first) == end:
            return None
        queries = torch.arange(last - 1, first - 1, -1, device=device)
        ends = ((queries // self.group + 1) * self.group).clamp(max=self.total)[None, :]
        if self.lengths is not None:
            ends = ends.minimum(self.lengths[:, None])
        ends = ends[:, None, :, None]
        return (keys >= ends) | (keys < ends - self.window)

    def _end(self, position: int) -> int:
        return min((position // self.group + 1) * self.group, self.total)
