"""Batches by seconds of audio: bucketed by length, and halved when the memory of the device runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.errors import in_words

Model = TypeVar("Model")

_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "failed to allocate memory",
    "bad allocation",
    "alloc_failed",
)
"""What torch, cuBLAS, cuDNN and onnxruntime say when memory runs out, in lower case."""


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the memory of a device, or of the host, ran out."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, Exception) and any(sign in in_words(error).lower() for sign in _SIGNS)


def fitted(load: Callable[[], Model], make_room: Callable[[], bool], name: str) -> Model:
    """What `load` loads; where there is no memory for it and `make_room` finds some, at the second try. Raises MemoryError."""
    for last in (False, True):
        try:
            return load()
        except Exception as error:
            if not out_of_memory(error):
                raise
            told = in_words(error)
        # Outside the handler: the error's traceback keeps what was loaded so far alive.
        if last or not make_room():
            break
    raise MemoryError(f"no memory to load {name}: does another process hold it? {told}")


@dataclass(frozen=True)
class Item:
    """One row of a batch: its length, the seconds of audio that it costs, and what it may not be mixed with.

    Items of different `kind` never share a batch."""

    length: int
    seconds: float
    kind: Hashable = None


def plan(
    items: Sequence[Item], limit_s: float, *, mixed: bool = True, most: int | None = None, among: Sequence[int] | None = None
) -> list[list[int]]:
    """Places of `items` (or of those `among` them) in batches, the longest first, so that the first batch needs most memory.

    A batch holds items of one kind and at most `limit_s` seconds, every row counted as the longest; one item that is
    longer than that is a batch alone. mixed: whether rows of different lengths may share a batch. most: rows in a batch.
    """
    order = sorted(range(len(items)) if among is None else among, key=lambda place: -items[place].length)
    open_batches: dict[Hashable, list[int]] = {}
    found: list[list[int]] = []
    for place in order:
        item = items[place]
        key = item.kind if mixed else (item.kind, item.length)
        batch = open_batches.get(key)
        full = batch is None or len(batch) == most or (len(batch) + 1) * items[batch[0]].seconds > limit_s
        if full:
            open_batches[key] = batch = []
            found.append(batch)
        assert batch is not None
        batch.append(place)
    return found


def equal(sizes: Sequence[Hashable], compute: Callable[[list[int]], Sequence[Any]]) -> list[Any]:
    """`compute` on places of equal size at a time, for what no mask makes exact; results in the order of `sizes`."""
    groups: dict[Hashable, list[int]] = {}
    for place, size in enumerate(sizes):
        groups.setdefault(size, []).append(place)
    found = {place: one for some in groups.values() for place, one in zip(some, compute(some), strict=True)}
    return [found[place] for place in range(len(sizes))]


def run(
    items: Sequence[Item],
    compute: Callable[[list[int]], Any],
    limit_s: float,
    *,
    mixed: bool = True,
    most: int | None = None,
    release: Callable[[], object] = gc.collect,
) -> tuple[list[tuple[list[int], Any]], list[int], float]:
    """`compute` on every batch of `items`: (batches with what came of them, places that do not fit alone, limit in seconds).

    When memory runs out, `release` is called, the limit becomes half of what was tried and the work goes on; the limit
    that is returned is the one to begin with next time. A `release` that returns True made room for the same batch: it is
    tried once more as it is. Other errors are raised.
    """
    done: list[tuple[list[int], Any]] = []
    too_large: list[int] = []
    todo = plan(items, limit_s, mixed=mixed, most=most)
    while todo:
        batch = todo.pop(0)
        try:
            done.append((batch, compute(batch)))
            continue
        except Exception as error:
            if not out_of_memory(error):
                raise
        # Outside the handler: the error's traceback keeps the tensors of the failed batch alive.
        if release() is True:
            todo.insert(0, batch)
            continue
        if len(batch) == 1:
            too_large += batch
            continue
        limit_s = len(batch) * items[batch[0]].seconds / 2.0
        rest = [place for some in (batch, *todo) for place in some]
        todo = plan(items, limit_s, mixed=mixed, most=most, among=rest)
    return done, too_large, limit_s
