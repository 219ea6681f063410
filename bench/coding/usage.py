"""How well codebooks are used: the share of entries in use, and the entropy of what is sent.

Usage = share of codebook entries used at least once over the whole set. Normalised entropy has two definitions in use: over
the USED entries (FocalCodec's evaluation code, the paper's column) and over the whole codebook. H is low by about
(used - 1) / (2 N ln 2) bits (Miller and Madow 1955), so N is kept beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bench.coding.codes import Codes, Tokens

DEFINITION = "usage"
VERSION = "1"


@dataclass(frozen=True)
class CodebookUse:
    """How one codebook was used by `tokens` tokens. Shares are fractions of 1; entropy in bits."""

    part: str
    number: int
    size: int
    tokens: int
    used: int
    entropy: float

    @property
    def usage(self) -> float:
        """Share of the entries used at least once; 0 with at most one, as the paper's code counts it."""
        return self.used / self.size if self.used > 1 else 0.0

    @property
    def entropy_of_used(self) -> float:
        """H / log2(entries used): the paper's normalised entropy; 0 with at most one entry."""
        return self.entropy / math.log2(self.used) if self.used > 1 else 0.0

    @property
    def entropy_of_all(self) -> float:
        """H / log2(codebook size); 0 for a codebook of one entry."""
        return self.entropy / math.log2(self.size) if self.size > 1 else 0.0


@dataclass
class Usage:
    """Counts of every codebook over a set of messages. Merging is addition, so workers may count apart."""

    counts: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def add(self, codes: Codes) -> Usage:
        """Count one message's tokens; packets and vectors have no codebooks and are passed over."""
        for part in codes.tokens:
            for number, counts in enumerate(token_counts(part)):
                self._add((part.name, number), counts)
        return self

    def merge(self, other: Usage) -> Usage:
        """Add another set's counts to these."""
        for key, counts in other.counts.items():
            self._add(key, counts)
        return self

    def _add(self, key: tuple[str, int], counts: np.ndarray) -> None:
        have = self.counts.get(key)
        if have is None:
            self.counts[key] = counts.astype(np.int64)
        elif len(have) != len(counts):
            raise ValueError(f"codebook {key}: sizes {len(have)} and {len(counts)} cannot be merged")
        else:
            have += counts

    def codebooks(self) -> list[CodebookUse]:
        """One record per codebook, in the order in which they were first seen."""
        return [_use(name, number, counts) for (name, number), counts in self.counts.items()]

    def summary(self) -> dict[str, float]:
        """Means over codebooks in percent: code_usage, norm_entropy (used entries), norm_entropy_all (every entry)."""
        books = self.codebooks()
        if not books:
            return {}
        return {
            "code_usage": 100 * float(np.mean([book.usage for book in books])),
            "norm_entropy": 100 * float(np.mean([book.entropy_of_used for book in books])),
            "norm_entropy_all": 100 * float(np.mean([book.entropy_of_all for book in books])),
        }


def token_counts(part: Tokens) -> list[np.ndarray]:
    """Occurrences of every entry, one int array [V_k] per codebook."""
    return [np.bincount(part.indices[:, k], minlength=size) for k, size in enumerate(part.sizes)]


def _use(name: str, number: int, counts: np.ndarray) -> CodebookUse:
    tokens = int(counts.sum())
    present = counts[counts > 0] / max(tokens, 1)
    entropy = max(0.0, float(-(present * np.log2(present)).sum()))
    return CodebookUse(name, number, len(counts), tokens, int((counts > 0).sum()), entropy)
