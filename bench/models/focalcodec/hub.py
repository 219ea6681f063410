"""Published FocalCodec models from the Hugging Face hub: pinned at the first use, checked at every later one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

FILES = ("config.json", "model.safetensors")


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged or does not fit; the message says what, where and what to do."""


def pins_file() -> Path:
    """JSON file of pins, ``{repo: {"revision": commit, "sha256": {file: hash}}}``; $FOCALCODEC_PINS names another."""
    return Path(os.environ.get("FOCALCODEC_PINS", Path.home() / ".cache" / "focalcodec" / "pins.json"))


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(path: Path, expected: str) -> None:
    """Raise CheckpointError unless the file has that sha256."""
    found = sha256(path)
    if found != expected:
        raise CheckpointError(
            f"{path} has sha256 {found[:16]}..., expected {expected[:16]}...: "
            "it was changed or cut short; delete it and fetch it again"
        )


def fetch(repo: str, revision: str | None = None, expected: Mapping[str, str] | None = None) -> tuple[Path, Path]:
    """Paths of config and weights of a hub repository.

    revision: branch, tag or commit; None means the commit recorded at the first use, or the newest at the first use.
    expected: sha256 by file name; without it the hash recorded at the first use of that commit counts.
    Raises CheckpointError if a file can neither be fetched nor found in the hub's local cache, or has another hash.
    """
    from huggingface_hub import hf_hub_download

    pins = json.loads(pins_file().read_text()) if pins_file().is_file() else {}
    pin = pins.get(repo, {})
    wanted = revision or pin.get("revision") or "main"
    paths: list[Path] = []
    for name in FILES:
        try:
            paths.append(Path(hf_hub_download(repo, name, revision=wanted)))
        except Exception as error:  # the client raises many kinds; each means that the file is not to be had
            raise CheckpointError(
                f"no {name} of {repo} at revision {wanted}: not in the hub's cache and not fetched "
                f"({type(error).__name__}). Load once with network, or give a folder with {' and '.join(FILES)}"
            ) from error
    # The hub's cache keeps files under snapshots/<commit>/.
    commit = paths[-1].parent.name
    recorded = pin.get("sha256", {}) if pin.get("revision") == commit else {}
    hashes = {name: sha256(path) for name, path in zip(FILES, paths, strict=True)}
    for name, path in zip(FILES, paths, strict=True):
        known = (expected or {}).get(name) or recorded.get(name)
        if known is not None and known != hashes[name]:
            verify(path, known)
    if pin.get("revision") != commit or recorded != hashes:
        pins[repo] = {"revision": commit, "sha256": hashes}
        pins_file().parent.mkdir(parents=True, exist_ok=True)
        part = pins_file().with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(pins, indent=1))
        part.replace(pins_file())
    return paths[0], paths[1]
