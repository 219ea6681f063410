"""How many bits, and how well they are spent: nominal, packed and entropy-coded rates; usage and entropy of codebooks.

Three rates per second of speech, side information included in each:
nominal = tokens x log2 V, what papers print; packed = bits of the real stream, container header apart;
coded = adaptive arithmetic coding of the same message (`bench.entropy`). The seconds are those of the speech that was
asked for, not of the padded wave, so padding and delay cost what they really cost.

Usage and entropy: usage = share of codebook entries used at least once over the whole set. Normalised
entropy has two definitions in use: over the USED entries (FocalCodec's evaluation code, the paper's column) and over
the whole codebook. H is low by about (used - 1) / (2 N ln 2) bits (Miller and Madow), so N is kept beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.codes import Codes, Tokens
from bench.entropy import Prior, coded_bits

if TYPE_CHECKING:
    from bench.cards import Stream

DEFINITION = "usage"
VERSION = "1"


@dataclass(frozen=True)
class Rate:
    """Bits of one or more messages, and the seconds of speech they stand for. Rates add up with `+`."""

    nominal_bits: float = 0.0
    packed_bits: int = 0
    coded_bits: int = 0
    seconds: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(
            self.nominal_bits + other.nominal_bits,
            self.packed_bits + other.packed_bits,
            self.coded_bits + other.coded_bits,
            self.seconds + other.seconds,
        )

    @property
    def nominal_bits_per_s(self) -> float:
        """Bits per second as the codebook sizes say."""
        return _per(self.nominal_bits, self.seconds)

    @property
    def packed_bits_per_s(self) -> float:
        """Bits per second as they are sent, in whole bits per token."""
        return _per(self.packed_bits, self.seconds)

    @property
    def coded_bits_per_s(self) -> float:
        """Bits per second after adaptive arithmetic coding."""
        return _per(self.coded_bits, self.seconds)


def _per(bits: float, seconds: float) -> float:
    return bits / seconds if seconds > 0 else float("nan")


def measure(codes: Codes, seconds: float, prior: Prior | None = None) -> Rate:
    """Bits of one message for `seconds` of speech. `prior`: counts of other speech for the coded rate, if any."""
    return Rate(codes.nominal_bits, codes.payload_bits, coded_bits(codes, prior), seconds)


def nominal_bits_per_s(streams: Sequence[Stream], seconds: float | None = None) -> float:
    """Rate by the formula of papers, from a card's streams: sum of rate_hz x sum_k log2 V_k (or x `bits`).

    A stream with rate_hz 0 is sent once per utterance: it counts as bits / `seconds`, or not at all without `seconds`.
    """
    per_utterance = sum(stream.frame_bits for stream in streams if not stream.rate_hz)
    return sum(stream.bits_per_s for stream in streams) + (per_utterance / seconds if seconds else 0.0)


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

    @property
    def bias_bits(self) -> float:
        """By how much H is expected to be low at this number of tokens (Miller and Madow 1955)."""
        return (self.used - 1) / (2 * self.tokens * math.log(2)) if self.tokens and self.used else 0.0


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

    def without(self, codes: Codes) -> Usage:
        """These counts less one message's: a prior for coding that message with a model fitted on the others."""
        left = {key: counts.copy() for key, counts in self.counts.items()}
        for part in codes.tokens:
            for number, counts in enumerate(token_counts(part)):
                left[part.name, number] -= counts
        return Usage(left)

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

    def static_bits_per_s(self, rates_hz: Mapping[str, float]) -> float:
        """Ideal static entropy rate on this very set: sum over codebooks of part rate x H; optimistic."""
        return sum(rates_hz[book.part] * book.entropy for book in self.codebooks())


def token_counts(part: Tokens) -> list[np.ndarray]:
    """Occurrences of every entry, one int array [V_k] per codebook."""
    return [np.bincount(part.indices[:, k], minlength=size) for k, size in enumerate(part.sizes)]


def _use(name: str, number: int, counts: np.ndarray) -> CodebookUse:
    tokens = int(counts.sum())
    present = counts[counts > 0] / max(tokens, 1)
    entropy = max(0.0, float(-(present * np.log2(present)).sum()))
    return CodebookUse(name, number, len(counts), tokens, int((counts > 0).sum()), entropy)
