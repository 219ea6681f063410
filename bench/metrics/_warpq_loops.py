"""The inner loops of WARP-Q, compiled by numba: mel filters, and subsequence dynamic time warping of overlapping patches.

Cost rows are made once and used by every patch that contains the row. Only end costs are needed, so no path matrix is
kept. A patch's place in the tables is its number modulo the number of patches that can overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Array = np.ndarray[Any, np.dtype[np.float32]]
INFINITY = np.float32(np.inf)


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, nogil=True)
def mel_powers(spectrum: Array, bank: Array, first: Any, last: Any, out: Array) -> None:
    """Filters `bank` [B, K], each non-zero in bins first[b] to last[b] - 1, on |spectrum|^2 [N, K, (re, im)] -> [N, B]."""
    bins = bank.shape[1]
    power = np.empty(bins, np.float32)
    for n in range(spectrum.shape[0]):
        for k in range(bins):
            power[k] = spectrum[n, k, 0] * spectrum[n, k, 0] + spectrum[n, k, 1] * spectrum[n, k, 1]
        for b in range(bank.shape[0]):
            total = np.float32(0.0)
            for k in range(first[b], last[b]):
                total += power[k] * bank[b, k]
            out[n, b] = total


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, nogil=True)
def _distances(ref: Array, row: Array, out: Array) -> None:
    """Euclidean distance of one frame `row` [D] to every frame of `ref` [D, N]."""
    count = ref.shape[1]
    for m in range(count):
        out[m] = 0.0
    for d in range(ref.shape[0]):
        wanted = row[d]
        line = ref[d]
        for m in range(count):
            step = line[m] - wanted
            out[m] += step * step
    for m in range(count):
        out[m] = np.sqrt(out[m])


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, nogil=True)
def skipping(ref: Array, deg: Array, patch: int, hop: int) -> Array:
    """End cost per frame of each patch of `deg` [M, D] in `ref` [D, N] with steps (1,0), (0,3), (1,3); float32 [P]."""
    count, total = ref.shape[1], deg.shape[0]
    patches = (total - patch) // hop + 1
    slots = -(-patch // hop)
    # Three columns of infinity before the reference stand for the frames that do not exist.
    table = np.full((slots, count + 3), INFINITY, np.float32)
    spare = np.empty(count, np.float32)
    line = np.empty(count, np.float32)
    out = np.empty(patches, np.float32)
    for r in range((patches - 1) * hop + patch):
        _distances(ref, deg[r], line)
        first = max(0, -(-(r - patch + 1) // hop))
        for p in range(first, min(r // hop, patches - 1) + 1):
            state = table[p % slots]
            if r == p * hop:
                state[3:] = line
            else:
                # The two steps that come from the row before, apart so that the loop vectorises.
                for m in range(count):
                    spare[m] = min(state[m + 3], state[m])
                # In this loop state[m] is already this row's cell three frames back: the step (0,3).
                for m in range(count):
                    state[m + 3] = line[m] + min(spare[m], state[m])
            if r == p * hop + patch - 1:
                out[p] = state[3:].min() / np.float32(patch)
    return out


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, nogil=True)
def diagonal(ref: Array, deg: Array, patch: int, hop: int) -> Array:
    """The same with steps (1,1), (3,2), (1,3)."""
    count, total = ref.shape[1], deg.shape[0]
    patches = (total - patch) // hop + 1
    slots = -(-patch // hop)
    table = np.full((slots, 4, count + 3), INFINITY, np.float32)
    line = np.empty(count, np.float32)
    out = np.empty(patches, np.float32)
    for r in range((patches - 1) * hop + patch):
        _distances(ref, deg[r], line)
        first = max(0, -(-(r - patch + 1) // hop))
        for p in range(first, min(r // hop, patches - 1) + 1):
            n = r - p * hop
            state = table[p % slots]
            now, one, three = state[n % 4], state[(n + 3) % 4], state[(n + 1) % 4]
            if n == 0:
                state[1:, :] = INFINITY
                for m in range(count):
                    now[m + 3] = line[m]
            else:
                for m in range(count):
                    now[m + 3] = line[m] + min(min(one[m + 2], one[m]), three[m + 1])
            if n == patch - 1:
                out[p] = now[3:].min() / np.float32(patch)
    return out
