"""Checkpoints on a disk that is full: one line, nothing half written, the old one unchanged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from bench.errors import BenchError
from bench.train import checkpoint


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("PytorchStreamWriter failed writing file data/0")]
)
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    path = tmp_path / "state.pt"
    checkpoint.save(path, {"fingerprint": "a", "step": 1})

    def full(state: object, stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BenchError, match=r"state\.pt: cannot be written .* --resume"):
        checkpoint.save(path, {"fingerprint": "a", "step": 2})
    assert checkpoint.load(path, "a")["step"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["state.pt"]
