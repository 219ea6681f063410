"""Checkpoints that survive kill -9: written beside, flushed to disk, then put in place in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

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
        except OSError as error:
            raise BenchError(f"{folder}: another training run writes here; wait for it, or choose another --out") from error
        yield


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, put in its place at the end: `path` is always the old file or the whole new one.

    Raises BenchError when it cannot be written (a full disk); what was half written is gone then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    try:
        yield beside
        os.replace(beside, path)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
        beside.unlink(missing_ok=True)
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BenchError(
            f"{path}: cannot be written ({first}). The checkpoint of before is unchanged: free some space and go on with --resume"
        ) from error


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
