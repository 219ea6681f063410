"""What a bootstrap draws: the plan (units within strata), the weights of each draw, and sums of terms under them.

Three schemes, three claims:
  utterance   utterances are drawn from the whole set, speakers ignored (textbook)
  stratified  utterances are drawn within each speaker: "these speakers, other sentences"
  cluster     whole speakers are drawn: "other speakers"

By default each stratum of n units gives n - 1 draws with weight n / (n - 1) (Rao and Wu, JASA 1988), because the
textbook draw of n units shrinks the variance by (n - 1) / n: nothing at n = 300, but half of it with two
utterances per speaker. `rescale=False` gives the textbook draw.

The cost is bounded: above MOST_UNITS units, random groups of them are drawn (Wolter, Introduction to Variance
Estimation, chapter 2), about GROUPS of them. Sums over random groups vary as sums over units do. Where there are
too many strata for each to have groups of its own, groups hold units of any stratum, each less its stratum's mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["utterance", "stratified", "cluster"]
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

DRAWS = 10_000
SEED = 0
MOST_UNITS = 20_000
"""Beyond this many, units are put into GROUPS groups at random and the groups are drawn."""
GROUPS = 10_000
_BLOCK = 4_000_000  # weights held at once, 32 MB


@dataclass(frozen=True)
class Plan:
    """What is resampled: unit of each utterance [n], stratum of each unit [units].

    centred: stratum of each utterance [n] where units are groups across strata: what is added up is then the distance from
    the stratum's mean, scaled so that its variance is that of a draw within the stratum.
    """

    unit: Places
    stratum: Places
    scheme: Scheme
    centred: Places | None = None

    @property
    def units(self) -> int:
        """How many units are drawn."""
        return len(self.stratum)

    @cached_property
    def df(self) -> int:
        """Degrees of freedom of the variance estimate."""
        return self.units - len(np.unique(self.stratum))

    @cached_property
    def _alone(self) -> bool:
        """Whether every utterance is a unit, in their order."""
        return len(self.unit) == self.units and bool(np.array_equal(self.unit, np.arange(self.units)))

    def sums(self, terms: Floats) -> Floats:
        """Terms per utterance [n, k] added up per unit [units, k]. The units' sum is the utterances' sum."""
        if self._alone and self.centred is None:
            return terms
        out = np.empty((self.units, terms.shape[1]))
        for k in range(terms.shape[1]):
            out[:, k] = self._sum(terms[:, k])
        return out

    def _sum(self, term: Floats) -> Floats:
        if self.centred is None:
            return np.bincount(self.unit, term, self.units).astype(np.float64)
        size = np.bincount(self.centred)
        mean = np.bincount(self.centred, term) / np.maximum(size, 1)
        apart = (term - mean[self.centred]) * np.sqrt(size / np.maximum(size - 1, 1))[self.centred]
        apart_sums = np.bincount(self.unit, apart, self.units)
        return apart_sums - apart_sums.mean() + term.sum() / self.units


def grouped(design: Plan, most: int = MOST_UNITS, groups: int = GROUPS) -> Plan:
    """`design`, or above `most` units one that draws random groups of its units, about `groups` of them.

    No group lies across strata where `groups` give each stratum two or more. The grouping is always the same, so that pairs
    stay pairs.
    """
    if design.units <= most:
        return design
    shuffled = np.random.default_rng(0).permutation(design.units)
    sizes = np.bincount(design.stratum)
    if 2 * len(sizes) > groups:
        group = np.empty(design.units, dtype=np.intp)
        group[shuffled] = np.arange(design.units) % groups
        return Plan(group[design.unit], np.zeros(groups, dtype=np.intp), design.scheme, design.stratum[design.unit])
    count = np.minimum(sizes, np.maximum(2, np.rint(groups * sizes / design.units).astype(np.intp)))
    order = shuffled[np.argsort(design.stratum[shuffled], kind="stable")]  # by stratum, at random within each
    mine = design.stratum[order]
    rank = np.arange(design.units) - (np.cumsum(sizes) - sizes)[mine]
    group = np.empty(design.units, dtype=np.intp)
    group[order] = (np.cumsum(count) - count)[mine] + rank % count[mine]
    return Plan(group[design.unit], np.repeat(np.arange(len(sizes)), count), design.scheme)


def plan(
    n: int, speakers: Sequence[object] | NDArray[np.generic] | None, scheme: Scheme, utterance: Places | None = None
) -> Plan:
    """Resampling plan for n utterances with their speakers [n]; very many units are drawn in random groups.

    speakers: names, or integers that stand for them. utterance [n]: the utterance of each item, from 0, where one utterance has
    several (outputs of a separation): the items of an utterance are then drawn together.
    """
    if scheme not in ("utterance", "stratified", "cluster"):
        raise ValueError(f"unknown resampling scheme {scheme!r}: utterance, stratified or cluster")
    if speakers is not None and len(speakers) != n:
        raise ValueError(f"{len(speakers)} speakers for {n} utterances")
    if utterance is None or scheme == "cluster":
        return grouped(_plan(n, speakers, scheme))
    _, first = np.unique(utterance, return_index=True)
    whole = _plan(len(first), None if speakers is None else np.asarray(speakers)[first], scheme)
    return grouped(Plan(utterance, whole.stratum, whole.scheme))


def _plan(n: int, speakers: Sequence[object] | NDArray[np.generic] | None, scheme: Scheme) -> Plan:
    """Resampling plan for n utterances with their speakers [n].

    Speakers with one utterance cannot be resampled within themselves; they are pooled into one stratum
    (collapsed strata, as in survey sampling), so that they add variance instead of hiding it.
    """
    everyone = np.arange(n)
    if scheme == "utterance" or speakers is None:
        return Plan(everyone, np.zeros(n, dtype=np.intp), "utterance")
    names = np.asarray(speakers)
    _, code = np.unique(names if np.issubdtype(names.dtype, np.integer) else names.astype(str), return_inverse=True)
    if scheme == "cluster":
        return Plan(code, np.zeros(code.max() + 1 if n else 0, dtype=np.intp), scheme)
    sizes = np.bincount(code)
    alone = sizes[code] == 1
    if alone.any():
        home = len(sizes)
        if alone.sum() == 1 and n > 1:  # one loner has nobody to pool with: it joins the smallest stratum
            home = int(code[~alone][np.argmin(sizes[code[~alone]])])
        code = np.where(alone, home, code)
        _, code = np.unique(code, return_inverse=True)
    return Plan(everyone, code.astype(np.intp), scheme)


def weights(design: Plan, draws: int, seed: int, rescale: bool = True) -> Iterator[Floats]:
    """Resampling weights in blocks [b, units]; the blocks together have `draws` lines."""
    units = design.units
    order = np.argsort(design.stratum, kind="stable")
    sizes = np.bincount(design.stratum)
    starts = np.cumsum(sizes) - sizes
    drawn = np.maximum(sizes - 1, 1) if rescale else sizes
    slot = np.repeat(np.arange(len(sizes)), drawn)
    start, size = starts[slot], sizes[slot]
    scale = np.repeat(sizes / drawn, sizes)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(units, 1))
    for first in range(0, draws, block):
        b = min(block, draws - first)
        picked = start + (rng.random((b, len(slot))) * size).astype(np.intp)
        picked += np.arange(b)[:, None] * units
        counts = np.bincount(picked.ravel(), minlength=b * units).reshape(b, units) * scale
        out = np.empty_like(counts)
        out[:, order] = counts
        yield out


def draw_sums(terms: Floats, design: Plan, draws: int = DRAWS, seed: int = SEED, rescale: bool = True) -> Floats:
    """Sums of the terms [n, k] in each draw: [draws, k]."""
    return draw_unit_sums(design.sums(np.asarray(terms, dtype=np.float64)), design, draws, seed, rescale)


def draw_unit_sums(per_unit: Floats, design: Plan, draws: int = DRAWS, seed: int = SEED, rescale: bool = True) -> Floats:
    """`draw_sums` of terms that are added up per unit already [units, k]."""
    return np.concatenate([w @ per_unit for w in weights(design, draws, seed, rescale)])
