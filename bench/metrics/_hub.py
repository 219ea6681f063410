"""Weights of metrics that no package carries: found on this machine, fetched from a hub or URL, checked, or named as missing.

Looked for in this order: $BENCH_METRIC_WEIGHTS/<source>/, <cache>/weights/metrics/<source>/ (see bench.weights.cache_dir),
the hub's own cache and the hub, the URL. HF_HUB_OFFLINE=1 keeps the hub from being asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import WeightsInvalid, WeightsMissing
from bench.weights import cache_dir, file_sha256


@dataclass(frozen=True)
class Source:
    """Where the files of one pretrained model come from. `sha256` by file name, where it is known."""

    name: str
    files: tuple[str, ...]
    repo: str | None = None
    revision: str = "main"
    url: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def folders(self) -> list[Path]:
        """Local places, best first."""
        own = os.environ.get("BENCH_METRIC_WEIGHTS")
        return ([Path(own) / self.name] if own else []) + [cache_dir() / "weights" / "metrics" / self.name]


def locate(source: Source) -> dict[str, Path]:
    """Local path of every file of `source`. Raises WeightsMissing (with the cure) or WeightsInvalid (wrong sha256)."""
    for folder in source.folders():
        if all((folder / name).is_file() for name in source.files):
            return {name: _checked(source, name, folder / name) for name in source.files}
    if source.repo is not None:
        return {name: _checked(source, name, _from_hub(source, name)) for name in source.files}
    return {name: _checked(source, name, _from_url(source, name)) for name in source.files}


def paths(source: Source) -> list[Path]:
    """Local paths of all files of `source`. Raises as `locate`."""
    return list(locate(source).values())


def folder_of(source: Source) -> Path:
    """The folder that holds all files of `source`, for loaders that want one. Raises as `locate`."""
    return next(iter(locate(source).values())).parent


def missing(source: Source, why: str) -> WeightsMissing:
    """The error that says what to fetch and where to put it."""
    origin = f"https://huggingface.co/{source.repo} (revision {source.revision})" if source.repo else source.url
    known = "; ".join(f"{name} has sha256 {digest}" for name, digest in source.sha256.items())
    return WeightsMissing(
        f"{source.name}: weights are not on this machine ({why}). Download {', '.join(source.files)} from {origin} and put "
        f"them into {source.folders()[-1]}, or set BENCH_METRIC_WEIGHTS to a folder that holds {source.name}/."
        + (f" {known}." if known else "")
    )


def _checked(source: Source, name: str, path: Path) -> Path:
    expected = source.sha256.get(name)
    if expected is not None and file_sha256(path) != expected:
        raise WeightsInvalid(
            f"{path}: sha256 is {file_sha256(path)}, expected {expected} ({source.name}). "
            "The file was changed or cut short: delete it and fetch it again."
        )
    return path


def _from_hub(source: Source, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(source.repo), name, revision=source.revision))
    except Exception as error:  # the hub client raises many kinds; each means "not here"
        raise missing(source, f"{type(error).__name__} for {source.repo}/{name}") from error


def _from_url(source: Source, name: str) -> Path:
    import urllib.request

    path = source.folders()[-1] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(str(source.url), timeout=30) as response, part.open("wb") as out:
            while block := response.read(1 << 20):
                out.write(block)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise missing(source, str(error)) from error
    try:
        _checked(source, name, part)
    except WeightsInvalid:
        part.unlink()
        raise
    part.replace(path)
    return path
