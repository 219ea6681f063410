"""Batches that fit: by seconds of audio, neighbours in length together, halved when a device runs out of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.speech import Utterance

DEVICE_SHARE = 0.5
"""Share of the free device memory that a batch may be expected to take."""
BYTES_PER_SECOND = 40 << 20
"""Memory that a second of audio takes in the largest of our networks (WavLM-large: some 30 MiB), with a margin."""
_SAMPLE_BYTES = 32_000
"""Bytes of a second of 16 kHz PCM16: the size of a file stands for its length until it is read."""


def batches(places: Sequence[int], items: Sequence[Utterance], device: str) -> Iterator[list[int]]:
    """`places` (of `items`) in batches. A CPU takes one at a time: as fast, and each utterance is timed by itself."""
    if not device.startswith("cuda"):
        yield from ([place] for place in places)
        return
    budget = budget_s(device)
    lengths = {place: seconds(item) for place, item in zip(places, items, strict=True)}
    batch: list[int] = []
    for place in sorted(places, key=lambda place: lengths[place]):
        # Sorted by length: the newest is the longest, and padding makes all as long.
        if batch and lengths[place] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def budget_s(device: str) -> float:
    """Seconds of audio, padding included, that a batch on `device` may hold."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return max(10.0, DEVICE_SHARE * free / BYTES_PER_SECOND)


def seconds(item: Utterance) -> float:
    """About how long the audio of `item` is, from its file's size; 0 where it cannot be told."""
    try:
        return item.path.stat().st_size / _SAMPLE_BYTES if item.path is not None else 0.0
    except OSError:
        return 0.0


def is_out(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on a device or in this process."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def release() -> None:
    """Give the device back what torch holds for later."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
