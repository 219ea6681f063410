"""What running on a device takes: arithmetic, memory that is free, copies that wait for nothing."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRECISION = "ieee"
"""Of float32 products and convolutions on CUDA: full single precision, which TF32 is not. Codes then equal a CPU's."""
SHARE = 0.7
"""Of the memory that is free, the share that a batch may be expected to need."""
MOST_S = 600.0
"""Seconds of audio in a batch beyond which no device was seen to gain."""
UNKNOWN_S = 60.0
"""Seconds of audio in the first batch on a device that does not tell how much memory is free. A model for whose batches
other models leave less has no room beside them."""
holders: list[Callable[[str, str], bool]] = []
"""Of all that keeps models in this process: drop(device, name) lets those on `device` go that are not called `name`, and
tells whether there were any."""


def kind(device: str) -> str:
    """ "cuda:1" -> "cuda"."""
    return device.partition(":")[0]


def is_cpu(device: str) -> bool:
    """Whether `device` is the CPU."""
    return kind(device) == "cpu"


def own(wanted: str) -> str:
    """The device that `wanted` is in this process: of several GPUs, the one that its executor gave to it."""
    return os.environ.get("BENCH_WORKER_DEVICE", wanted) if wanted == "cuda" else wanted


def use(wanted: str) -> str:
    """`own(wanted)`, made the card that this process means where it names none: pinned memory, random numbers and the like
    would else take room on the first card."""
    where = own(wanted)
    if kind(where) == "cuda":
        import torch

        torch.cuda.set_device(where)
    return where


def full_precision() -> Callable[[], None]:
    """Turn TF32 off in this process; what is returned brings back what stood before."""
    import torch

    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    parts: tuple[Any, ...] = (cuda, cudnn.conv, cudnn.rnn)  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]

    def put(values: Sequence[str]) -> None:
        for part, value in zip(parts, values, strict=True):
            part.fp32_precision = value

    put([PRECISION] * len(parts))
    return lambda: put(before)


def first_limit_s(device: str, bytes_per_s: float) -> float:
    """Seconds of audio, padding included, that the first batch on `device` may hold."""
    if kind(device) != "cuda":
        return UNKNOWN_S
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(MOST_S, SHARE * (free + unused) / bytes_per_s)


def batch_limit_s(device: str, bytes_per_s: float, name: str) -> float:
    """`first_limit_s` for the model called `name`; where the others on `device` leave it little, they go first."""
    limit = first_limit_s(device, bytes_per_s)
    if limit < UNKNOWN_S and make_room(device, name):
        limit = first_limit_s(device, bytes_per_s)
    return limit


def make_room(device: str, name: str) -> bool:
    """Memory of `device` ran out for the model called `name`: the others go, but from a CPU. Whether there were any, and so
    a second try may fit."""
    gone = [] if is_cpu(device) else [drop(device, name) for drop in holders]
    release()
    return any(gone)


def release() -> None:
    """Memory that nothing uses back to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def to_device(values: torch.Tensor, device: str | torch.device) -> torch.Tensor:
    """`values` on their way to `device`, without waiting for it: where it is CUDA, from pinned memory. What is there stays."""
    if values.is_cpu and kind(str(device)) == "cuda":
        values = values.pin_memory()
    # Copied without this flag, a few bytes of the host wait until the device has done all that it was given before.
    return values.to(device, non_blocking=True)


def all_of(device: str) -> tuple[str, ...]:
    """The devices that `device` means: "cuda" is every GPU that this process sees."""
    if device != "cuda":
        return (device,)
    import torch

    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count())) or (device,)
