"""Official checkpoints that are pickles: read without running them, and converted once to safetensors in the cache.

In an adapter, where `weights.files` holds what was published:

    path = pickles.as_safetensors(weights.files["SpeechTokenizer.pt"])
    path = pickles.as_safetensors(weights.files["model.ckpt"], inside="state_dict", keep=("backbone.", "head."))

A flat state dict keeps its names. Nested dictionaries give names with dots: {"encoder": {"a": ...}, "generator": {"b": ...}}
holds `encoder.a` and `generator.b`. `inside` names the dictionary to begin at, `keep` the beginnings of names that are
wanted (a training checkpoint also holds discriminators and optimisers). Only tensors are kept, with type and values as they
are; the file's metadata (key "source") says what it was made from. A .safetensors file is handed back as it is.

Reading is torch.load(weights_only=True). Beside the classes of tensors that torch itself allows, a checkpoint may name the
classes of `STAND_INS` (settings and paths that training programs leave behind): they are replaced by empty objects of
ours, so that no code of the checkpoint, nor of the package it names, is ever run. Any other class is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.content import file_sha256
from bench.errors import BenchError, WeightsInvalid, in_words
from bench.fetch.files import Record, locked
from bench.fetch.homes import cache_dir

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
"""Of the conversion: part of a converted file's place, so that another rule makes another file."""


class Nothing:
    """What stands for an object that is no tensor: takes any arguments and any state, and keeps none."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class Table:
    """What stands for a class of dictionaries: an ordered dictionary, whose items are kept."""

    def __new__(cls, *_: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


STAND_INS: Mapping[str, type] = {
    **dict.fromkeys((
        "collections.defaultdict",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "lightning.fabric.utilities.data.AttributeDict",
        "lightning.pytorch.utilities.parsing.AttributeDict",
    ), Table),
    **dict.fromkeys((
        "argparse.Namespace",
        "builtins.dict", "builtins.list", "builtins.tuple", "builtins.int", "builtins.float", "builtins.str", "builtins.bool",
        "builtins.slice", "builtins.object", "typing.Any",
        "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath",
        "pathlib._local.Path", "pathlib._local.PosixPath", "pathlib._local.PurePosixPath",
        "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
        *(f"numpy.{name}" for name in ("float64", "float32", "int64", "int32", "bool_", "str_")),
        *(f"numpy.dtypes.{name}DType" for name in ("Float64", "Float32", "Int64", "Int32", "Bool", "Str")),
        "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig", "omegaconf.base.ContainerMetadata",
        "omegaconf.base.Metadata", "omegaconf.nodes.AnyNode", "omegaconf.nodes.StringNode", "omegaconf.nodes.IntegerNode",
        "omegaconf.nodes.FloatNode", "omegaconf.nodes.BooleanNode",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
        "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    ), Nothing),
}  # fmt: skip
"""Full names of classes that a checkpoint may mention, and what stands for them."""


def as_safetensors(path: Path, *, inside: str = "", keep: Sequence[str] = ()) -> Path:
    """The tensors of the checkpoint `path` as a .safetensors file in the cache, made at the first call; see the module.

    inside: dotted name of the dictionary to begin at. keep: beginnings of the names wanted (none: all). Several processes
    may ask at once. A converted file is checked against the digest noted when it was made, and made anew when it differs.
    Raises WeightsInvalid naming the file and what is wrong with it: damaged, a class that is not allowed, no such tensors.
    """
    if path.suffix == ".safetensors":
        return path
    source = file_sha256(path)
    rule = json.dumps([VERSION, inside, sorted(keep)])
    folder = cache_dir() / "converted" / f"{source[:16]}-{hashlib.sha256(rule.encode()).hexdigest()[:8]}"
    target = folder / f"{path.stem}.safetensors"
    record = Record(folder / "sha256.json")
    with locked(folder / ".lock"):
        if target.is_file():
            if record.get(target.name) == file_sha256(target):
                return target
            print(f"{target} is not what was converted from {path}: it is made anew", file=sys.stderr)
        told = json.dumps({"sha256": source, "file": path.name, "inside": inside, "keep": sorted(keep), "version": VERSION})
        digest = _write(tensors(path, inside=inside, keep=keep), target, {"source": told})
        record.put({path.name: source, target.name: digest})
    return target


def tensors(path: Path, *, inside: str = "", keep: Sequence[str] = ()) -> dict[str, Tensor]:
    """The checkpoint's tensors by dotted name, on the CPU; arguments and errors as `as_safetensors`, nothing is cached."""
    found: Any = _load(path)
    for part in inside.split(".") if inside else ():
        if not isinstance(found, Mapping) or part not in found:
            has = ", ".join(map(str, list(found)[:8])) if isinstance(found, Mapping) else type(found).__name__
            raise WeightsInvalid(f"{path}: no dictionary '{inside}' inside; there are: {has or 'no names'}")
        found = found[part]
    chosen = {name: value for name, value in _flat(found, "") if not keep or name.startswith(tuple(keep))}
    if not chosen:
        wanted = f" whose names begin with {' or '.join(keep)}" if keep else ""
        raise WeightsInvalid(f"{path}: it holds no tensors{wanted}; it is not the checkpoint that was expected")
    return chosen


def _load(path: Path) -> Any:
    import torch

    stand_ins: Any = [(stand_in, name) for name, stand_in in STAND_INS.items()]
    try:
        with torch.serialization.safe_globals(stand_ins):
            # The zip form is mapped, not read: of a training checkpoint only the tensors that are kept are touched.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a damaged or hostile pickle ends in nearly any kind of error
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise WeightsInvalid(
                f"{path}: its pickle names {named[1]}, which is not a class of tensors or settings; it was not run. "
                "Convert the file to safetensors where you trust it, and pass WEIGHTS=FILE"
            ) from error
        why = in_words(error).splitlines()[0][:200]
        raise WeightsInvalid(f"{path}: cannot be read as a checkpoint ({why}); fetch or copy it again") from error


def _flat(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{index}" if name else str(index))


def _write(found: Mapping[str, Tensor], target: Path, metadata: Mapping[str, str]) -> str:
    """Write `target` whole or not at all; returns its sha256."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".converting-") as scratch:
        part = Path(scratch) / target.name
        try:
            # safetensors refuses tensors that share memory; a copy of each gives it nothing to refuse.
            save_file({name: value.detach().clone().contiguous() for name, value in found.items()}, part, dict(metadata))
            os.replace(part, target)
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, OSError) or "space" in str(error):
                raise BenchError(f"{target} cannot be written ({error}); make room or set BENCH_CACHE to another disk") from error
            raise WeightsInvalid(f"{target.name}: its tensors cannot be stored as safetensors ({error})") from error
    return file_sha256(target)
