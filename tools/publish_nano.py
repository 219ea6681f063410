"""Put the weights of training runs where the codecs' cards look for them, and their sha256 into the cards.

    python tools/publish_nano.py focalcodec 50=runs/focalcodec-nano-light 25=... 12.5=...
    python tools/publish_nano.py freqcodec runs/freqcodec-nano-synthesis
    python tools/publish_nano.py freecodec v2=runs/freecodec-nano-synthesis v3=runs/freecodec-nano-v3

FocalCodec's points share encoder and decoder: those of point 50 go into a file of their own. FreeCodec's v1 reads v2's.
The discriminators of a run come along as POINT.discriminator.safetensors, for who trains on; no codec reads them.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

CODECS = Path(__file__).resolve().parents[1] / "codecs"
SHARED = ("encoder", "decoder")


def main(family: str, *runs: str) -> None:
    named = dict(run.split("=", 1) if "=" in run else ("", run) for run in runs)
    for point, run in named.items():
        path = Path(run) / "weights.safetensors"
        tensors, facts = read(path)
        facts.pop("fingerprint", None)
        if family == "focalcodec":
            # A run of several points holds the bottlenecks of the others as POINT/NAME; they come from runs of their own.
            tensors = {k: v for k, v in tensors.items() if "/" not in k}
            shared = {k: v for k, v in tensors.items() if k.split(".")[0] in SHARED}
            base = CODECS / family / "nano-base.safetensors"
            if point == "50":
                write(base, shared, {})
            else:
                check_same(base, shared, path)
            own = {k: v for k, v in tensors.items() if k not in shared}
            write(CODECS / family / f"nano-{point}.safetensors", own, facts)
        else:
            name = f"{point}.nano.safetensors" if point else "nano.safetensors"
            write(CODECS / family / name, tensors, facts)
        judges = Path(run) / "discriminator.safetensors"
        if judges.is_file():
            name = f"{point}.discriminator.safetensors" if point else "discriminator.safetensors"
            write(CODECS / family / name, *read(judges))
    record(CODECS / f"{family}.toml")


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(str(path), "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118


def write(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> None:
    """Write a file, unless it holds just this already: the order of facts in it is by chance, and with it the sha256."""
    if not (path.is_file() and same(path, tensors, facts)):
        save_file(tensors, path, facts)
    print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB")


def same(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> bool:
    held, noted = read(path)
    return noted == facts and held.keys() == tensors.keys() and all(torch.equal(held[k], tensors[k]) for k in held)


def check_same(base: Path, tensors: dict[str, torch.Tensor], path: Path) -> None:
    other, _ = read(base)
    # Packed again, a scale may differ in its last bit.
    differ = [k for k in other if not torch.allclose(other[k].float(), tensors[k].float(), rtol=1e-5, atol=0)]
    if differ:
        raise SystemExit(f"{path}: {differ[0]} differs from {base}; train this point from the weights of point 50")


def record(card: Path) -> None:
    """Renew every `weights.nano.sha256` after the files its point names."""
    lines, names = card.read_text(encoding="utf-8").splitlines(), []
    for i, line in enumerate(lines):
        if line.startswith("weights.nano.file"):
            names = re.findall(r'"([^"]+)"', line)
        elif line.startswith("weights.nano.sha256") and all((CODECS / name).is_file() for name in names):
            hashes = [f'"{hashlib.sha256((CODECS / name).read_bytes()).hexdigest()}"' for name in names]
            lines[i] = "weights.nano.sha256 = " + (hashes[0] if len(hashes) == 1 else f"[{', '.join(hashes)}]")
    card.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
