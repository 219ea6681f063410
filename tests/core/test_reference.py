"""The reference values that a clone holds: small enough, and equal to the whole folder's where that is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import soundfile
from safetensors.numpy import load_file

TESTS = Path(__file__).resolve().parents[1]


def unpacked(folder: Path) -> Path:
    """As the fixture of the tests does it."""
    spec = importlib.util.spec_from_file_location("tests_conftest", TESTS / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.unpacked(folder)


def test_the_archive_is_small() -> None:
    assert (TESTS / "fixtures" / "reference.tar.xz").stat().st_size < 12e6


def test_the_archive_holds_what_the_whole_folder_says(tmp_path: Path, reference: Path) -> None:
    own, compared = unpacked(tmp_path), 0
    for path in (path for path in own.rglob("*") if path.is_file()):
        other = reference / path.relative_to(own)
        if path.suffix == ".safetensors":
            held, wanted = load_file(path), load_file(other)
            assert held and all(np.array_equal(held[name], wanted[name]) for name in held), path
        elif path.suffix == ".wav":
            assert np.array_equal(soundfile.read(path)[0], soundfile.read(other)[0]), path
        else:
            assert path.read_bytes() == other.read_bytes(), path
        compared += 1
    assert compared > 80
