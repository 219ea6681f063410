"""A plug-in has no certificates: its key holds its whole package and the version of its distribution."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADAPTER = "from copycodec.arithmetic import GAIN\n\n\ndef load(point, weights, device):\n    raise NotImplementedError\n"
METRIC = """from bench.metrics import Column, Metric

METRIC = Metric("copied", (Column("copied", "Copied"),), lambda ref, deg: {"copied": 1.0})
"""
CARD = """family = "copy"
title = "Copy"
adapter = "copy"
kind = "reference"
licence = "none"
sample_rate = 16000
[points.default]
"""
ENTRIES = """[bench.adapters]
copy = copycodec.adapter
[bench.cards]
copy = copycodec
[bench.metrics]
copied = copycodec.metric
"""
ASK = """
from pathlib import Path
from bench import metrics
from bench.engine import keys
from bench.engine.systems import system
from bench.store import Store
with Store(Path("s.sqlite")) as store:
    print(system("copy").key, keys.metric_key(metrics.find("copied"), store), system("mulaw").key)
"""


@pytest.fixture
def keys(tmp_path: Path) -> Callable[..., list[str]]:
    """Keys of the plug-in's codec, its metric and a codec of ours, in a fresh process, after writing its files."""
    package = tmp_path / "site" / "copycodec"
    package.mkdir(parents=True)
    files = {"__init__.py": "", "adapter.py": ADAPTER, "metric.py": METRIC, "arithmetic.py": "GAIN = 1.0\n", "copy.toml": CARD}
    for name, text in files.items():
        (package / name).write_text(text)
    info = tmp_path / "site" / "copycodec.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(ENTRIES)

    def ask(version: str = "1.0", **changed: str) -> list[str]:
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: copycodec\nVersion: {version}\n")
        for name, text in changed.items():
            (package / f"{name}.py").write_text(text)
        # No compiled code is kept: what it holds is in the sources.
        command = [sys.executable, "-B", "-c", ASK]
        environment = {"PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return ask


def test_an_edit_without_a_new_version_is_noticed(keys: Callable[..., list[str]]) -> None:
    before = keys()
    assert keys() == before
    codec, metric, ours = keys(arithmetic="GAIN = 2.0\n")
    assert codec != before[0] and metric != before[1] and ours == before[2]


def test_an_upgrade_is_noticed(keys: Callable[..., list[str]]) -> None:
    before = keys()
    codec, metric, ours = keys(version="1.1")
    assert codec != before[0] and metric != before[1] and ours == before[2]
