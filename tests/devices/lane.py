"""A device called "lane" that computes on the CPU: tensors on it refuse those of the other side, as a GPU's do.

Registered with torch as a Python backend (PrivateUse1). `State` tells which values the host asked the device for, and how
much memory it has (LANE_MEMORY, in bytes, for worker processes).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from typing import Any, ClassVar

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

from bench.engine.executors import Needs
from bench.engine.executors.processes import Processes

NAME = "lane"
_COPIES = {"aten::_to_copy", "aten::copy_", "aten::to.device", "aten::_copy_from"}
_ASKS = {"aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero"}
_HOST_ARGUMENTS = {"aten::_pack_padded_sequence": {1}, "aten::_pad_packed_sequence": {1}, "aten::_ctc_loss.Tensor": {2, 3}}
"""Arguments that CUDA, too, wants on the CPU."""
_HOST_RESULTS = {"aten::_pack_padded_sequence", "aten::_pad_packed_sequence"}
"""Operations whose second result stays on the CPU with CUDA, too."""


class State:
    """What the device of this process has seen, and its memory.

    asked: operations that the host waited for. memory: bytes that all tensors together may have (None: nobody counts), `held`
    those that they have now, `peak` the most so far, `refused` how often there was no room.
    """

    memory: int | None = int(os.environ["LANE_MEMORY"]) if "LANE_MEMORY" in os.environ else None
    held: int = 0
    peak: int = 0
    refused: int = 0
    asked: ClassVar[list[str]] = []
    _alive: ClassVar[dict[int, weakref.ref[torch.Tensor]]] = {}
    _owners: ClassVar[dict[int, int]] = {}

    @classmethod
    def hold(cls, tensor: LaneTensor) -> None:
        """Count the memory of `tensor` until it is gone; tensors of one storage count once. Raises OutOfMemoryError."""
        if cls.memory is None:
            return
        storage = tensor.raw.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in cls._owners:
            if cls.held + size > cls.memory:
                cls.refused += 1
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")
            cls.held += size
            cls.peak = max(cls.peak, cls.held)
        cls._owners[place] = cls._owners.get(place, 0) + 1

        def gone(ref: weakref.ref[torch.Tensor]) -> None:
            del cls._alive[id(ref)]
            cls._owners[place] -= 1
            if not cls._owners[place]:
                del cls._owners[place]
                cls.held -= size

        ref = weakref.ref(tensor, gone)
        cls._alive[id(ref)] = ref


class MixedDevices(RuntimeError):
    """An operation on tensors of both sides."""


class LaneTensor(torch.Tensor):
    """A tensor on the lane; `raw` is where its values really are."""

    raw: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> LaneTensor:
        # A wrapper made in inference mode could not become a view of a parameter.
        with torch.inference_mode(False):
            made = torch.Tensor._make_wrapper_subclass(
                cls, raw.shape, strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype,
                device=f"{NAME}:0", requires_grad=False,
            )  # fmt: skip
        made.raw = raw
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"LaneTensor({self.raw})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # In inference mode operations come here whole that are made of others; devices see the others.
        parts = func.decompose(*args, **(kwargs or {}))
        return _run(func, args, kwargs or {}) if parts is NotImplemented else parts


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    name = func._schema.name + (f".{func._schema.overload_name}" if func._schema.overload_name else "")
    plain = func._schema.name
    device = kwargs.get("device")
    to_cpu = plain == "aten::_to_copy" and device is not None and torch.device(device).type == "cpu"
    if plain not in _COPIES:
        _refuse_mixing(name, plain, args, kwargs)
    if plain in _ASKS or to_cpu:
        State.asked.append(plain)
    if plain in _COPIES and not to_cpu and not kwargs.get("non_blocking") and _from_host(args):
        State.asked.append("a copy that waits")
    unwrapped = {}

    def raw(tensor: LaneTensor) -> torch.Tensor:
        unwrapped[id(tensor.raw)] = tensor
        return tensor.raw

    args, kwargs = tree_map_only(LaneTensor, raw, (args, kwargs))
    if device is not None and torch.device(device).type == NAME:
        kwargs["device"] = torch.device("cpu")
    if kwargs.get("pin_memory"):
        kwargs["pin_memory"] = False
    out = _FUSED.get(plain, func)(*args, **kwargs)

    def wrapped(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in unwrapped:
            return unwrapped[id(tensor)]
        made = LaneTensor(tensor)
        State.hold(made)
        return made

    if plain in _HOST_RESULTS:
        return wrapped(out[0]), out[1]
    if to_cpu or (plain == "aten::copy_" and not unwrapped):
        return out
    return tree_map_only(torch.Tensor, wrapped, out)


def _from_host(args: Any) -> bool:
    """Whether what is copied is a tensor of the host."""
    source = args[-1] if len(args) > 1 and isinstance(args[-1], torch.Tensor) else args[0]
    return isinstance(source, torch.Tensor) and not isinstance(source, LaneTensor)


def _refuse_mixing(name: str, plain: str, args: Any, kwargs: Any) -> None:
    allowed = _HOST_ARGUMENTS.get(name, _HOST_ARGUMENTS.get(plain, set()))
    found = []
    for place, value in enumerate([*args, *kwargs.values()]):
        for one in value if isinstance(value, list | tuple) else [value]:
            # A number in a tensor of its own may come from the host, as with CUDA.
            if isinstance(one, torch.Tensor) and not isinstance(one, LaneTensor) and one.ndim and place not in allowed:
                found.append(one)
    lanes = [one for value in [*args, *kwargs.values()] for one in (value if isinstance(value, list | tuple) else [value])
             if isinstance(one, LaneTensor)]  # fmt: skip
    if found and lanes:
        raise MixedDevices(f"{name}: expected all tensors to be on the same device, found {NAME}:0 and cpu")


def _lstm_cell(of_input: Any, of_hidden: Any, cell: Any, input_bias: Any = None, hidden_bias: Any = None) -> Any:
    """The kernel that devices have for a step of an LSTM, and a CPU has not: (hidden, cell, gates kept for the way back)."""
    gates = of_input + of_hidden
    for bias in (input_bias, hidden_bias):
        gates = gates if bias is None else gates + bias
    into, keep, new, out = gates.chunk(4, 1)
    into, keep, new, out = into.sigmoid(), keep.sigmoid(), new.tanh(), out.sigmoid()
    after = keep * cell + into * new
    return out * after.tanh(), after, torch.cat([into, keep, new, out], 1)


def _lstm_cell_back(of_hidden: Any, of_cell: Any, cell: Any, after: Any, gates: Any, has_bias: bool) -> Any:
    into, keep, new, out = gates.chunk(4, 1)
    of_hidden = torch.zeros_like(after) if of_hidden is None else of_hidden
    bent = after.tanh()
    total = of_hidden * out * (1 - bent * bent) + (0 if of_cell is None else of_cell)
    found = torch.cat([
        total * new * into * (1 - into), total * cell * keep * (1 - keep), total * into * (1 - new * new),
        of_hidden * bent * out * (1 - out),
    ], 1)  # fmt: skip
    return found, total * keep, found.sum(0) if has_bias else torch.empty(0)


_FUSED = {"aten::_thnn_fused_lstm_cell": _lstm_cell, "aten::_thnn_fused_lstm_cell_backward_impl": _lstm_cell_back}


class _FromHost(TorchFunctionMode):
    """Tensors of the host's numbers: made on the CPU, then copied over, since torch makes them without asking a backend."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        device = None
        if func is torch.as_tensor and isinstance(args[0], LaneTensor):
            return args[0].to(kwargs.get("dtype", args[0].dtype))
        if func in (torch.tensor, torch.as_tensor, torch.hann_window):
            device = kwargs.get("device")
        elif func is torch.Tensor.new_tensor and isinstance(args[0], LaneTensor):
            device, kwargs = args[0].device, {"dtype": args[0].dtype} | kwargs
            func, args = torch.tensor, args[1:]
        if device is None or torch.device(device).type != NAME:
            return func(*args, **kwargs)
        # Devices make windows of their own; what else is in the host's hands is brought over, and waited for.
        return func(*args, **(kwargs | {"device": "cpu"})).to(device, non_blocking=func is torch.hann_window)


class _Module(_DummyBackendModule):
    """torch.lane."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def is_autocast_enabled(self) -> bool:
        return False


@cache
def announce() -> None:
    """Tell torch that there is such a device. Its autograd engine counts devices once, at the first backward of a process."""
    _setup_privateuseone_for_python_backend(NAME, _Module())


@cache
def register() -> None:
    """Make the device known to torch in this process, once."""
    announce()
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
    register.library = library  # type: ignore[attr-defined]
    _FromHost().__enter__()
    torch.__future__.set_overwrite_module_params_on_conversion(True)


def work_on(work: Callable[[Any], Any], job: Any) -> Any:
    """`work` in a process that has the device; LANE_LOG tells which process and card it was."""
    register()
    if "LANE_LOG" in os.environ:
        with open(os.environ["LANE_LOG"], "a") as log:
            print(os.getpid(), os.environ["BENCH_WORKER_DEVICE"], file=log)
    return work(job)


class LaneExecutor(Processes):
    """Worker processes, of which only the one of the device lane knows the device."""

    def submit(self, work: Callable[[Any], Any], job: Any, needs: Needs = "cpu") -> Future[Any]:
        return super().submit(partial(work_on, work) if needs == "gpu" else work, job, needs)
