"""Networks of metrics: one piece of code reads signals, forms batches, runs a network on a device and takes results apart.

The author of a metric writes what one signal gives the network (`read`), how the network is loaded (`load`), what a
batch of rows gives (`run`), and what the results of one signal's rows mean (`result`). Single signals, batches, devices,
mixed lengths and memory that runs out are dealt with here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import batches
from bench import device as devices
from bench.metrics import Analysis, MetricFailure, Signal

if TYPE_CHECKING:
    import torch

RATE_HZ = 16_000


@dataclass(frozen=True)
class Batch:
    """Rows of one kind, as `Network.kind` tells it."""

    rows: torch.Tensor
    """float32 [B, T, ...] on the device, zero beyond a row's length."""
    sizes: tuple[int, ...]
    """Length of every row, known without asking the device; the largest is T."""
    lengths: torch.Tensor | None = None
    """The same as int64 [B] on the device, or None when every row has length T."""
    kind: Hashable = None


@dataclass(frozen=True)
class Network:
    """A pretrained network and how it is evaluated. `name` is unique; a loaded network is kept by name and device."""

    name: str
    load: Callable[[str], Any]
    """Device ("cpu", "cuda", "cuda:1") -> the network, ready for inference there. Raises WeightsMissing, WeightsInvalid."""
    read: Callable[[Signal], Sequence[NDArray[np.float32]]]
    """Signal -> rows [T, ...] that the network reads of it, all work that needs no device. Raises MetricFailure."""
    run: Callable[[Any, Batch], Any]
    """(network, batch) -> one result a row: a tensor [B, ...], left on the device, or a list. A row's result depends on
    nothing but the row, up to rounding (1e-5 of a score)."""
    result: Callable[[Any], Analysis]
    """Results of one signal's rows, a tensor [P, ...] on the CPU or a list, -> its analysis. Raises MetricFailure."""
    weights: Callable[[], Sequence[Path]]
    """The pretrained files. Raises WeightsMissing."""
    kind: Callable[[Signal], Hashable] = lambda signal: None
    """Signals of different kinds (languages, say) never share a batch."""
    row_s: Callable[[int], float] = lambda length: length / RATE_HZ
    """Length of a row -> seconds of audio that it costs."""
    mixed: bool = True
    """Whether `run` reads `lengths`. Without, rows of different lengths never share a batch."""
    bytes_per_s: float = 40e6
    """Memory that a second of audio takes in a batch; an estimate to begin with, halving does the rest."""
    cpu_rows: int | None = 1
    """Rows in a batch on a CPU, where batches gain little; None: all rows of a signal."""
    cpu_alone: bool = True
    """On a CPU, one signal at a time, so that its score does not depend on its neighbours, not even in the last bit."""
    place: Callable[[str], str] = lambda device: device
    """Device asked for -> device it runs on: "cpu" where the other one cannot be used."""
    random: Callable[[], Any] | None = None
    """The network on the CPU with random weights of its true shapes, to compare devices where its weights are not here; a
    score is never made of it."""
    host: bool = False
    """Whether `run` wants its rows in the host's memory whatever the device: onnxruntime moves them itself."""

    def on(self, device: str = "cpu") -> Any:
        """The network on `device`, loaded once; other models leave a device that has no room for it. Raises WeightsMissing,
        WeightsInvalid, MemoryError."""
        device = self.place(device)
        key = self.name, device
        if key not in _loaded:
            _loaded[key] = batches.fitted(lambda: self.load(device), partial(devices.make_room, device, self.name), self.name)
        return _loaded[key]

    def of(self, wave: NDArray[Any], rate_hz: int = RATE_HZ) -> Analysis:
        """The analysis of one wave [T] on the CPU. Raises MetricFailure, WeightsMissing."""
        [found] = analyse(self, [Signal(wave, rate_hz)])
        if isinstance(found, MetricFailure):
            raise found
        return found


_loaded: dict[tuple[str, str], Any] = {}
_limits: dict[tuple[str, str], float] = {}
"""Seconds of audio in a batch that were seen to fit, by network and device."""


def forget(device: str | None = None) -> None:
    """Drop the loaded networks of `device` (None: of every device) and give their memory back."""
    for key in [key for key in _loaded if device is None or key[1] == device]:
        del _loaded[key]
        _limits.pop(key, None)
    devices.release()


def keep(network: Network, device: str, model: Any) -> None:
    """Use `model` as `network` on `device`, until `drop`."""
    _loaded[network.name, device] = model


def drop(network: Network) -> None:
    """Forget `network` on every device: the next use loads it."""
    for key in [key for key in _loaded if key[0] == network.name]:
        del _loaded[key]


def _drop_others(device: str, name: str) -> bool:
    """Let the networks go that wait for their turn on `device`, while `name` needs the memory."""
    waiting = [key for key in _loaded if key[1] == device and key[0] != name]
    for key in waiting:
        del _loaded[key]
    return bool(waiting)


devices.holders.append(_drop_others)


def analyse(
    network: Network, signals: Sequence[Signal], device: str = "cpu", *, batched: bool | None = None
) -> list[Analysis | MetricFailure]:
    """The analysis of every signal, or the failure that stands for it, in order.

    batched: rows of all signals share batches by seconds of audio, as on an accelerator; None: not on a CPU. A signal
    that does not fit into memory alone is a failure of kind `out_of_memory`. Raises WeightsMissing, WeightsInvalid.
    """
    device = network.place(device)
    try:
        model = network.on(device)
    except MemoryError as error:
        return [MetricFailure("out_of_memory", str(error)) for _ in signals]
    batched = not devices.is_cpu(device) if batched is None else batched
    if batched or not network.cpu_alone:
        return _analyse(network, model, signals, device, batched)
    return [_analyse(network, model, [signal], device, False)[0] for signal in signals]


def _read(network: Network, signal: Signal) -> Sequence[NDArray[np.float32]] | MetricFailure:
    try:
        return network.read(signal)
    except MetricFailure as failure:
        return failure


def _analyse(
    network: Network, model: Any, signals: Sequence[Signal], device: str, batched: bool
) -> list[Analysis | MetricFailure]:
    """Batches over the rows of all `signals`, then one result for each signal."""
    read = [_read(network, signal) for signal in signals]
    owners = [(place, row) for place, rows in enumerate(read) if not isinstance(rows, MetricFailure) for row in rows]
    kinds = [network.kind(signal) for signal in signals]
    items = [batches.Item(len(row), network.row_s(len(row)), (kinds[place], row.shape[1:])) for place, row in owners]
    key = network.name, device
    with inference(device):
        done, too_large, limit_s = batches.run(
            items,
            lambda some: network.run(model, _batch(network, [owners[i][1] for i in some], kinds[owners[some[0]][0]], device)),
            _limit_s(network, device) if batched else float("inf"),
            mixed=network.mixed and (batched or not network.cpu_alone),
            most=None if batched else network.cpu_rows,
            release=partial(devices.make_room, device, network.name),
        )
    if batched:
        _limits[key] = limit_s
    return _by_signal(network, read, [place for place, _ in owners], done, {owners[i][0] for i in too_large})


def _limit_s(network: Network, device: str) -> float:
    """Seconds of audio in the largest batch to begin with."""
    known = _limits.get((network.name, device))
    return known or devices.batch_limit_s(device, network.bytes_per_s, network.name)


def _batch(network: Network, rows: Sequence[NDArray[np.float32]], kind: Hashable, device: str) -> Batch:
    """`rows` padded to one length and on their way to the device, without waiting for it."""
    import torch

    sizes = tuple(len(row) for row in rows)
    longest, equal = max(sizes), min(sizes) == max(sizes)
    where = "cpu" if network.host else device
    stack = torch.zeros(len(rows), longest, *rows[0].shape[1:], pin_memory=devices.kind(where) == "cuda")
    for place, row in enumerate(rows):
        stack[place, : len(row)] = torch.from_numpy(np.ascontiguousarray(row))
    lengths = None if equal else devices.to_device(torch.tensor(sizes), where)
    return Batch(stack.to(where, non_blocking=True), sizes, lengths, kind)


def _by_signal(
    network: Network,
    read: Sequence[Any],
    owner: Sequence[int],
    done: Sequence[tuple[list[int], Any]],
    too_large: set[int],
) -> list[Analysis | MetricFailure]:
    """Results of rows, brought to the CPU only now that every batch is on its way, put together for each signal."""
    import torch

    results: list[Any] = [None] * len(owner)
    for members, found in done:
        values = found.cpu() if isinstance(found, torch.Tensor) else found
        for member, value in zip(members, values, strict=True):
            results[member] = value
    parts: list[list[Any]] = [[] for _ in read]
    for place, value in zip(owner, results, strict=True):
        parts[place].append(value)
    out: list[Analysis | MetricFailure] = []
    for place, rows in enumerate(read):
        if isinstance(rows, MetricFailure):
            out.append(rows)
        elif place in too_large:
            seconds = sum(network.row_s(len(row)) for row in rows)
            out.append(MetricFailure("out_of_memory", f"{seconds:.1f} s of audio do not fit into memory alone"))
        else:
            out.append(_result(network, parts[place]))
    return out


def _result(network: Network, values: list[Any]) -> Analysis | MetricFailure:
    import torch

    try:
        return network.result(torch.stack(values) if values and isinstance(values[0], torch.Tensor) else values)
    except MetricFailure as failure:
        return failure


@contextlib.contextmanager
def inference(device: str = "cpu") -> Iterator[None]:
    """No gradients; on a CPU one thread, so that scores do not depend on the machine and cores belong to the engine; on
    CUDA products and convolutions in full single precision, which TF32 is not."""
    import torch

    if devices.is_cpu(device):
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        restore: Callable[[], None] = partial(torch.set_num_threads, before)
    else:
        restore = devices.full_precision()
    try:
        with torch.inference_mode():
            yield
    finally:
        restore()


def mean_of(name: str = "score") -> Callable[[Any], Analysis]:
    """A `result` that is the mean over a signal's rows, under `name`."""
    return lambda values: {name: float(values.mean())}


def whole(signal: Signal, *, min_s: float = 0.0) -> list[NDArray[np.float32]]:
    """A `read` that gives the checked wave itself. Raises MetricFailure."""
    from bench.metrics._common import check, check_rate

    return [check(check_rate(signal, RATE_HZ).wave, rate_hz=RATE_HZ, min_s=min_s)]
