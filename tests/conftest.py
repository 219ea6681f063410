"""Fixtures that several test files need."""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "devices"))  # worker processes inherit it


ARCHIVE = REPOSITORY / "tests" / "fixtures" / "reference.tar.xz"
LEFT_OUT = (
    "tiny_encodec_ds640", "tiny_freqcodec_magphase_std_ds320", "tiny_freqcodec_magphase_gr8_ds320", "tiny_causal_lookahead0",
    "tiny_causal_vocos_postnorm", "tiny_options", "b2", "ls251__gain-6", "ls251__delay10ms",
)  # fmt: skip
"""Cases of which the archive holds no values: they run where the whole folder of reference values is there."""


def _whole() -> Path:
    return Path(os.environ.get("BENCH_SHARED", REPOSITORY.parent / "shared"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the whole folder, cases that only it holds are deselected (the summary counts them)."""
    if (_whole() / "fixtures").is_dir():
        return

    def lost(item: pytest.Item) -> bool:
        given = getattr(item, "callspec", None)
        named = {value for value in given.params.values() if isinstance(value, str)} if given else set()
        return bool(named & set(LEFT_OUT)) or item.name in ("test_batch_leak_only_when_strict",)

    out = [item for item in items if lost(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_collection_finish(session: pytest.Session) -> None:
    """The tests' own device is announced before any test trains something, in whatever order they run."""
    if session.items and not session.config.option.collectonly:
        import lane

        lane.announce()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reference values by subject (focalcodec/, funcodec/, metrics/ ...): the whole folder where it is there, else those that
    tests/fixtures holds (its README tells how they were made)."""
    if (_whole() / "fixtures").is_dir():
        return _whole() / "fixtures"
    return unpacked(tmp_path_factory.mktemp("reference"))


def unpacked(folder: Path) -> Path:
    """`folder` with what the archive holds; waves as WAV, of the same samples."""
    import soundfile

    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    for path in folder.rglob("*.flac"):
        wave, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".wav"), wave, rate, subtype="PCM_16")
        path.unlink()
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference values and real speech beside the repository; skips, by name, where it is absent."""
    path = Path(os.environ.get("BENCH_SHARED", REPOSITORY.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"needs the reference folder {path} (set BENCH_SHARED)")
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch computes on one thread: for speed that is measured, and for small matrices, whose threads wait for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
