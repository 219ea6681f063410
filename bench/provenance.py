"""What a number came from: versions of packages, commit, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
@cache
def package_version(name: str) -> str:
    """Installed version, or "absent"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def package_versions(names: Iterable[str]) -> dict[str, str]:
    return {name: package_version(name) for name in sorted(set(names))}


@cache
def git_commit() -> str:
    """Commit of the checkout, with "+dirty" when files differ; "unknown" outside git."""

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *words], capture_output=True, text=True, check=True
        ).stdout

    try:
        commit = ask("rev-parse", "--short=12", "HEAD").strip()
        return commit + (
            "+dirty" if ask("status", "--porcelain", "--untracked-files=no", "--", "bench", "codecs").strip() else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the platform's own word is good enough
    return platform.processor() or platform.machine()


def machine(device: str = "cpu") -> dict[str, Any]:
    """Where a run took place: CPU, cores, device, Python."""
    facts: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "device": device,
        "python": platform.python_version(),
    }
    if device.startswith("cuda"):
        import torch

        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
