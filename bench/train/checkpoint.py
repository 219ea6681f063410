"""Checkpoints that survive kill -9: written beside, flushed to disk, then put in place in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch

from bench import writing
from bench.errors import BenchError


class CheckpointMismatch(BenchError):
    """A checkpoint that belongs to another configuration, or is not one."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold `folder` for this run. Raises BenchError while another process does; ends with the process, however it ends."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchError(f"{folder}: another training run writes here; wait for it, or choose another --out") from error
        except OSError:
            pass  # a file system without locks keeps nobody out
        yield


def whole(path: Path) -> AbstractContextManager[Path]:
    """`writing.in_place` for what torch and safetensors write; torch tells of a full disk by a RuntimeError."""
    return writing.in_place(path, "free some space and go on with --resume", (OSError, RuntimeError))


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors and plain values) and have it on the disk before it replaces what was there."""
    with whole(path) as beside, beside.open("wb") as stream:
        torch.save(dict(state), stream)
        stream.flush()
        os.fsync(stream.fileno())


def load(path: Path, fingerprint: str, what: str = "") -> dict[str, Any]:
    """Read what `save` wrote; raises CheckpointMismatch unless its fingerprint is `fingerprint`."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointMismatch(f"{path}: cannot be read as a checkpoint ({error}); delete it to start anew") from error
    found = state.get("fingerprint")
    if found != fingerprint:
        raise CheckpointMismatch(
            f"{path}: made with another configuration ({found}; {what or 'this one'} is {fingerprint}); "
            "use the recipe card it was made with, or another --out folder"
        )
    return state


def random_state() -> dict[str, Any]:
    """State of torch's generators on this machine."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set torch's random state, of all devices, to `state`."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
