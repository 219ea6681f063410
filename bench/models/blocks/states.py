"""State dicts that are taken over whole: every tensor that a network has must be there, in its shape, and finite."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SHOWN = 4


class StateDictError(ValueError):
    """A state dict that does not belong to the network."""


class _NothingDrawn(TorchFunctionMode):
    """Initial weights are not drawn, windows not computed and weights not scaled. On the meta device there are none, and
    torch's way to make none there loads its compiler: a second of time, and 70 MiB of memory."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__ or func is Tensor.normal_:
            return args[0] if args else kwargs["tensor"]
        if func is torch.hann_window:
            return torch.empty(args[0] if args else kwargs["window_length"])
        if func.__name__ in ("mul", "__mul__") and isinstance(args[1], float):
            return torch.empty(args[0].shape)
        return func(*args, **kwargs)


@contextmanager
def blank() -> Iterator[None]:
    """Modules made in this context have shapes and no values: they are on the meta device, to be filled from a file."""
    with torch.device("meta"), _NothingDrawn():
        yield


def load_strict(module: nn.Module, state: Mapping[str, Tensor], unused: Iterable[str] = (), where: str = "") -> None:
    """Load `state` as float32 into `module`, which may be on the meta device. Tensors whose names match a pattern of
    `unused` are known and left out.

    Raises StateDictError that names `where` and the tensors which are missing, unknown, misshapen or not finite.
    """
    patterns = [re.compile(pattern) for pattern in unused]
    given = {key: value for key, value in state.items() if not any(pattern.fullmatch(key) for pattern in patterns)}
    wanted = module.state_dict()
    problems = [f"{key} is missing" for key in wanted if key not in given]
    problems += [f"{key} is unknown" for key in given if key not in wanted]
    for key in wanted.keys() & given.keys():
        value, shape = given[key], tuple(wanted[key].shape)
        if tuple(value.shape) != shape:
            problems.append(f"{key} has shape {tuple(value.shape)}, not {shape}")
        elif value.is_floating_point() and not value.is_meta and not bool(torch.isfinite(value).all()):
            problems.append(f"{key} holds NaN or infinite values")
    if problems:
        rest = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise StateDictError(f"{where or type(module).__name__}: {'; '.join(sorted(problems)[:SHOWN])}{rest}")
    own = {key: value.float() if value.is_floating_point() else value for key, value in given.items()}
    module.load_state_dict(own, assign=True)
