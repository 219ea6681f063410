"""Weights files read one tensor at a time: what is kept of a tensor is decided before the next one is read.

The files' names of tensors become today's (:func:`layout.modern_keys`), 8-bit ones become float32 (:mod:`..blocks.int8`). A file
is mapped into memory, not copied: a float32 tensor is a view of it, which costs nothing until it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..blocks.int8 import SCALE, SCALES, unpack
from .layout import modern_keys

FLOAT32, INT8 = "F32", "I8"


class Tensors:
    """The tensors of several safetensors files together; of a name that two files hold, the later file's counts.

    shapes: of all tensors, by today's names. metadata: texts of the files. Raises OSError naming a file that cannot
    be read.
    """

    def __init__(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.metadata: dict[str, str] = {}
        self._device = device
        owner: dict[str, Path] = {}
        slices: dict[str, Any] = {}
        for path in files:
            with self._open(path) as file:
                self.metadata |= file.metadata() or {}
                names = list(file.keys())
                found = {_stem(name) for name in names}
                slices = {name: value for name, value in slices.items() if _stem(name) not in found}
                for name in names:
                    part = file.get_slice(name)
                    slices[name] = part.get_dtype(), part.get_shape()
                    owner[_stem(name)] = path
        self._groups: dict[str, list[tuple[Path, str]]] = {}
        for name in slices:
            stem = _stem(name)
            self._groups.setdefault(re.sub(r"\.[qkv]_proj\.", ".qkv_proj.", stem), []).append((owner[stem], name))
        # A map of a whole file that is float32 already is the memory of its tensors. Of others only copies are kept.
        self._kept = {
            path: all(kind == FLOAT32 for name, (kind, _) in slices.items() if owner[_stem(name)] == path) for path in files
        }
        with torch.device("meta"):
            blank = {
                name: torch.empty(shape)
                for name, (_, shape) in slices.items()
                if _stem(name) == name or slices.get(_stem(name), ("", ()))[0] != INT8  # scales are no tensors of their own
            }
            self.shapes = {name: tuple(value.shape) for name, value in modern_keys(blank).items()}

    def read(self, keep_maps: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor (float32 where it is floating point), one after the other. keep_maps: float32 tensors may be views
        of the file, all of which then stays mapped as long as one of them is used."""
        maps = {path: self._open(path).__enter__() for path, whole in self._kept.items() if whole and keep_maps}
        for parts in self._groups.values():
            found = modern_keys(unpack({name: self._tensor(maps, path, name) for path, name in parts}))
            while found:
                yield found.popitem()

    def _tensor(self, maps: dict[Path, Any], path: Path, name: str) -> Tensor:
        if path in maps:
            return maps[path].get_tensor(name)
        # A map of its own, which goes with what was read through it.
        with self._open(path) as file:
            value = file.get_tensor(name)
            return value.float() if value.is_floating_point() and value.dtype != torch.float32 else value.clone()

    def _open(self, path: Path) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(path, "pt", device=self._device)
        except (SafetensorError, OSError) as error:
            raise OSError(f"{path} cannot be read as safetensors ({error})") from error


def _stem(name: str) -> str:
    """Of a scale of an 8-bit tensor, that tensor's name."""
    return name.removesuffix(SCALES).removesuffix(SCALE)
