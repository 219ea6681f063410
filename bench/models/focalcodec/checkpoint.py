"""Loading and saving FocalCodec checkpoints: safetensors only, from a file, a folder or the hub."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..blocks.fast_linear import store
from ..blocks.states import SHOWN, blank
from ..blocks.stored import give_back
from .codec import FocalCodec
from .config import FocalCodecConfig, with_overrides
from .layout import Shapes, complete_config
from .presets import PRESETS
from .reading import Tensors

__all__ = ["CheckpointError", "load", "load_files", "save"]

# Key of the safetensors metadata under which a self-contained file carries its config as JSON.
CONFIG_KEY = "config"
FILES = ("config.json", "model.safetensors")
"""What a published repository holds."""


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged or does not fit; the message says what, where and what to do."""


def load(
    source: str | Path,
    *,
    revision: str | None = None,
    sha256: str | Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
) -> FocalCodec:
    """A FocalCodec with trained weights, float32, in eval mode.

    source: a .safetensors file (its config beside it as NAME.json or config.json, in its metadata, or read off its
    tensors); a .json config beside its weights; a folder with one .safetensors file; the name of a published model
    (``50hz`` ...) or a hub repository ``user/name``.
    sha256: expected hash of the weights file, or hashes by file name. revision: of a hub repository, a commit; None is the
    one that was seen first on this machine, whose files' hashes are recorded and checked ever after.
    Raises CheckpointError naming what is missing or wrong, and ConfigError for a config that does not fit.
    """
    path = Path(source)
    name = str(source)
    expected = {"model.safetensors": sha256} if isinstance(sha256, str) else dict(sha256 or {})
    if path.exists() or path.suffix in (".json", ".safetensors") or path.is_absolute():
        weights, config = _local(path)
        for file in (weights, config):
            known = sha256 if isinstance(sha256, str) and file == weights else expected.get(file.name if file else "")
            if file is not None and known is not None:
                _verify(file, known)
    elif name.replace(".", "_") in PRESETS or name.count("/") == 1:
        repo = name if "/" in name else f"lucadellalib/focalcodec_{name.replace('.', '_')}"
        config, weights = _from_hub(repo, revision, expected)
    else:
        raise CheckpointError(f"{name!r} is no file or folder, no hub repository (user/name) and none of {', '.join(PRESETS)}")
    return load_files(weights, config, overrides=overrides, device=device)


def _from_hub(repo: str, revision: str | None, expected: Mapping[str, str]) -> tuple[Path, Path]:
    # The one thing that the networks use of the bench, and only when a name of the hub is given.
    from bench.errors import BenchError
    from bench.fetch import hub

    try:
        found = hub.snapshot(repo, FILES, revision, expected)
    except BenchError as error:
        raise CheckpointError(f"{error}. Load once with network, or give a folder with {' and '.join(FILES)}") from error
    return found.files[FILES[0]], found.files[FILES[1]]


def _verify(path: Path, expected: str) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise CheckpointError(
            f"{path} has sha256 {found[:16]}..., expected {expected[:16]}...: "
            "it was changed or cut short; delete it and fetch it again"
        )


def _local(path: Path) -> tuple[Path, Path | None]:
    """Weights and config (None where there is none apart) for a file or folder."""
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            names = ", ".join(item.name for item in found) or "none"
            raise CheckpointError(f"{path} must hold exactly one .safetensors file; found: {names}")
        weights = found[0]
    elif path.suffix == ".json":
        weights = path.with_suffix(".safetensors")
    else:
        weights = path
    if weights.suffix != ".safetensors":
        raise CheckpointError(f"{weights}: only .safetensors files are read; pickled checkpoints can run code")
    if not weights.is_file():
        raise CheckpointError(f"no weights at {weights}: give a .safetensors file, or a folder that holds one")
    configs = [path] if path.suffix == ".json" else [weights.with_suffix(".json"), weights.parent / "config.json"]
    return weights, next((item for item in configs if item.is_file()), None)


def load_files(
    weights: Path | Sequence[Path],
    config: Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    precision: str | None = None,
) -> FocalCodec:
    """As :func:`load`, from a weights file and perhaps a config file. A config in the weights' metadata comes first.

    Several weights files hold a part of the tensors each (parts that several models share lie in a file of their own);
    the last one's config counts. precision: one of `blocks.stored.PRECISIONS`, which large matrices are kept in from the
    moment they are read, so that never more than one of them is in float32.
    """
    try:
        tensors = Tensors([weights] if isinstance(weights, Path) else weights, str(device))
    except OSError as error:
        raise CheckpointError(f"{error}; fetch or copy it again") from error
    values: dict[str, Any] = {}
    if CONFIG_KEY in tensors.metadata or config is not None:
        try:
            text = tensors.metadata[CONFIG_KEY] if CONFIG_KEY in tensors.metadata else config.read_text()  # type: ignore[union-attr]
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise CheckpointError(f"the config of {_named(weights)} is not JSON: {error}") from error
    values = complete_config(values, tensors.shapes)
    wanted = FocalCodecConfig.from_dict(with_overrides(values, overrides or {}))
    codec = _filled(wanted, tensors.shapes, tensors.read(keep_maps=not precision), _named(weights), precision).eval()
    if precision:
        give_back()
    return codec


def _named(weights: Path | Sequence[Path]) -> str:
    return str(weights) if isinstance(weights, Path) else " and ".join(map(str, weights))


def build(config: FocalCodecConfig, state: Mapping[str, Tensor], where: str) -> FocalCodec:
    """A codec that takes over these tensors, as float32. Raises CheckpointError naming tensors that do not fit, in one line."""
    return _filled(config, {key: value.shape for key, value in state.items()}, state.items(), where)


def _filled(
    config: FocalCodecConfig, shapes: Shapes, tensors: Iterable[tuple[str, Tensor]], where: str, precision: str | None = None
) -> FocalCodec:
    """As `build`. With a precision each large matrix is brought to it before the next tensor is asked for."""
    with blank():
        codec = FocalCodec(config)
    wanted = {key: tuple(value.shape) for key, value in codec.state_dict().items()}
    problems = [f"missing: {key} {shape}" for key, shape in wanted.items() if key not in shapes]
    problems += [f"not known: {key} {tuple(shape)}" for key, shape in shapes.items() if key not in wanted]
    problems += [
        f"misshapen: {key} is {tuple(shapes[key])}, the config asks for {shape}"
        for key, shape in wanted.items()
        if key in shapes and tuple(shapes[key]) != shape
    ]
    if not problems and any(buffer.is_meta for buffer in codec.buffers()):
        codec = FocalCodec(config)  # constants that no file holds, such as an AMP block's low pass
    modules = dict(codec.named_modules())
    for key, value in tensors:
        if wanted.get(key) != tuple(value.shape):
            continue
        if not _finite(value):
            problems.append(f"not finite: {key}")
        if not problems:
            module, _, name = key.rpartition(".")
            modules[module].load_state_dict({name: value.float()}, strict=False, assign=True)
            if precision and name == "weight":
                store(modules[module], precision)
        del value  # before the next one is read
    if problems:
        rest = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise CheckpointError(f"{where} does not fit its config: {'; '.join(problems[:SHOWN])}{rest}")
    return codec


def _finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite, without a copy of them."""
    if not value.is_floating_point() or not value.numel():
        return True
    return all(map(math.isfinite, torch.stack(torch.aminmax(value)).tolist()))


def save(codec: FocalCodec, path: Path, *, dtype: torch.dtype = torch.float32, metadata: Mapping[str, str] | None = None) -> None:
    """Write a self-contained .safetensors file: tensors as dtype, config (JSON) and further texts in the metadata."""
    from safetensors.torch import save_file

    texts = {**(metadata or {}), CONFIG_KEY: json.dumps(codec.config.to_dict())}
    save_file({key: value.detach().to("cpu", dtype).contiguous() for key, value in codec.state_dict().items()}, path, texts)
