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
_ISA = ("avx512_bf16", "avx512_vnni", "avx512f", "avx2", "avx", "asimd")


@cache
def package_version(name: str) -> str:
    """Installed version, or "absent"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Name -> installed version, in order of their names."""
    return {name: package_version(name) for name in sorted(set(names))}


@cache
def git_commit() -> str:
    """Commit of the checkout, with "+dirty" when files differ; "unknown" outside git."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", "-C", str(PACKAGE.parent), *words], capture_output=True, text=True, check=True).stdout

    try:
        commit = ask("rev-parse", "--short=12", "HEAD").strip()
        return commit + (
            "+dirty" if ask("status", "--porcelain", "--untracked-files=no", "--", "bench", "codecs").strip() else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def cpu_name() -> str:
    """The processor as the kernel calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the platform's own word is good enough
    return platform.processor() or platform.machine()


@cache
def cpu_kind() -> str:
    """The kind of CPU as far as the last bits of a wave depend on it: maker and widest vector instructions."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        return "unknown"
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    widest = next((isa for isa in _ISA if isa in flags), "plain")
    return f"{facts.get('vendor_id', 'other')}-{widest}"


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
