"""Batches of utterances for a codec: what goes through it together, and what is made alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from bench import batches, device
from bench.batches import out_of_memory
from bench.errors import in_words
from bench.speech import Utterance

BYTES_PER_SECOND = 40 << 20
"""Memory that a second of audio takes in the largest of our networks (WavLM-large: some 30 MiB), with a margin."""
_SAMPLE_BYTES = 32_000
"""Bytes of a second of 16 kHz PCM16: the size of a file stands for its length until it is read."""
_limits: dict[tuple[str, str], float] = {}
"""Seconds of audio in a batch that were seen to fit, by system and device."""


def run(
    items: Sequence[Utterance],
    compute: Callable[[list[int]], Sequence[Any]],
    *,
    system: str,
    where: str,
    together: bool,
    alone: Collection[int] = (),
) -> Iterator[tuple[int, Any]]:
    """`compute` on places of `items`: (place, what came of it), MemoryError for one that does not fit by itself.

    Batches are by seconds of audio, and halved when memory runs out (see `bench.batches`); what fitted is remembered for
    `system` on the device `where`. Without `together`, on a CPU, and for places `alone`, each is computed and timed by itself.
    """
    release = partial(device.make_room, where, system)

    def fitting(some: list[int]) -> Sequence[Any]:
        made = compute(some)
        if len(some) > 1 or not isinstance(made[0], Exception) or not out_of_memory(made[0]):
            return made
        told = in_words(made[0])
        # The error's traceback keeps tensors alive.
        del made
        return compute(some) if release() else [MemoryError(told)]

    single = range(len(items)) if not together or device.is_cpu(where) else alone
    for place in single:
        yield place, fitting([place])[0]
    rest = [place for place in range(len(items)) if place not in single]
    if not rest:
        return
    lengths = [seconds(items[place]) for place in rest]
    found, too_large, _limits[system, where] = batches.run(
        [batches.Item(round(length * 1000), length) for length in lengths],
        lambda some: fitting([rest[index] for index in some]),
        _limits.get((system, where)) or device.batch_limit_s(where, BYTES_PER_SECOND, system),
        release=release,
    )
    for some, made in found:
        yield from ((rest[index], one) for index, one in zip(some, made, strict=True))
    for index in too_large:
        yield rest[index], MemoryError(f"{lengths[index]:.1f} s of audio do not fit into memory alone")


def seconds(item: Utterance) -> float:
    """About how long the audio of `item` is, from its file's size; 0 where it cannot be told."""
    try:
        return item.path.stat().st_size / _SAMPLE_BYTES if item.path is not None else 0.0
    except OSError:
        return 0.0
