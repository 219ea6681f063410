"""Many tests at once: Holm for what blocks, Benjamini-Hochberg for what informs.

Holm (Scandinavian Journal of Statistics 1979) bounds the chance of even one false alarm among all tests, whatever
their dependence. Benjamini and Hochberg (JRSS B 1995) bounds the share of false alarms among the alarms.
Both return adjusted p-values in the order given; reject where adjusted <= alpha (or q).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _checked(p: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError("p-values come as one list")
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError("p-values lie between 0 and 1")
    return values


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values [m]: max over i <= j of (m - i) p_(i), capped at 1."""
    values = _checked(p)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    out = np.empty_like(values)
    out[order] = np.minimum(stepped, 1)
    return out


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Benjamini and Hochberg's adjusted p-values (q-values) [m]: min over j >= i of m p_(j) / j, capped at 1."""
    values = _checked(p)
    order = np.argsort(values, kind="stable")
    m = len(values)
    stepped = np.minimum.accumulate((values[order] * m / np.arange(1, m + 1))[::-1])[::-1]
    out = np.empty_like(values)
    out[order] = np.minimum(stepped, 1)
    return out
