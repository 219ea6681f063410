"""Weights between those before a stage and those after it (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903, section 3).

    python -m bench.train.between --before codecs/focalcodec/nano-base.safetensors,codecs/focalcodec/nano-25.safetensors \\
        --after runs/focalcodec-nano-words25/weights.safetensors --share 0.55 --out runs/focalcodec-25

A short stage towards one aim (words, say) gives up some of another (naturalness). On the straight line between, much of
both is often to be had, sometimes more of the one than at either end: measure a few points, on speech held out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bench.errors import BenchError, WeightsInvalid, WeightsMissing
from bench.guard import guarded
from bench.models.blocks.int8 import SCALE, SCALES, pack, unpack
from bench.train.checkpoint import whole


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 after one line that says what is wrong and what to do."""
    parser = argparse.ArgumentParser(prog="python -m bench.train.between", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--before", required=True, metavar="FILES", help="safetensors, comma separated; later ones win")
    parser.add_argument("--after", required=True, type=Path, metavar="FILE", help="weights of the stage that began there")
    parser.add_argument("--share", required=True, type=float, help="0: as before, 1: as after")
    parser.add_argument("--out", required=True, type=Path, help="folder that gets weights.safetensors")
    parsed = parser.parse_args(argv)
    return guarded(lambda: _run(parsed))


def _run(parsed: argparse.Namespace) -> int:
    from safetensors.torch import save_file

    before: dict[str, Tensor] = {}
    for name in parsed.before.split(","):
        before |= _read(Path(name))[0]
    after, notes = _read(parsed.after)
    mixed = between(before, after, parsed.share)
    parsed.out.mkdir(parents=True, exist_ok=True)
    path = parsed.out / "weights.safetensors"
    with whole(path) as beside:
        save_file(mixed, beside, metadata=notes | {"share": f"{parsed.share:g} of the way from {parsed.before}"})
    print(f"{path}: {parsed.share:g} of the way to {parsed.after}")
    return 0


def between(before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share) before + share after, tensor by tensor, packed as they are; what is equal in both stays bit for bit.

    Raises BenchError where the two are not of one network, or hold integers (codes, counters) that differ.
    """
    if not 0.0 <= share <= 1.0:
        raise BenchError(f"--share {share:g}: must lie between 0 and 1")
    first, last = unpack(before), unpack(after)
    for name in sorted(first.keys() ^ last.keys()):
        raise WeightsInvalid(f"'{name}' is only in the weights {'before' if name in first else 'after'}: not one network")
    out: dict[str, Tensor] = {}
    for name, start in first.items():
        packed = {k: after[k] for k in (name, name + SCALE, name + SCALES) if k in after}
        if torch.equal(start, last[name]):
            out |= packed
        elif start.shape != last[name].shape:
            raise WeightsInvalid(f"'{name}' is {list(start.shape)} before and {list(last[name].shape)} after: not one network")
        elif not start.is_floating_point():
            raise WeightsInvalid(f"'{name}' holds integers that differ; there is nothing between them")
        else:
            value = torch.lerp(start.float(), last[name].float(), share)
            small = after[name].dtype == torch.int8
            out |= pack({name: value}, (), name + SCALES in after) if small else {name: value.to(after[name].dtype)}
    return out


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    if not path.is_file():
        raise WeightsMissing(f"{path}: no such weights; give --before and --after safetensors files")
    with safe_open(str(path), "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118


if __name__ == "__main__":
    sys.exit(main())
