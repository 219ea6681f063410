"""One FocalCodec of two runs: the quantization pipeline of one, the decoder of the other. A row of the ablation needs both.

python -m bench.train.join runs/focalcodec-ablation-conformer-snake-lfq runs/focalcodec-ablation-hifigan --out runs/row5
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bench import writing
from bench.errors import BenchError
from bench.guard import guarded
from bench.models.blocks.int8 import unpack
from bench.models.focalcodec.checkpoint import CheckpointError, build, save
from bench.models.focalcodec.config import ConfigError, FocalCodecConfig

FILE = "weights.safetensors"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 after one line that says what is wrong and what to do."""
    parser = argparse.ArgumentParser(prog="python -m bench.train.join", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pipeline", type=Path, help="folder of a run of a compressor's stage")
    parser.add_argument("decoder", type=Path, help="folder of a run of a decoder's stage, on the same encoder")
    parser.add_argument("--out", required=True, type=Path, help=f"folder that gets {FILE}")
    parsed = parser.parse_args(argv)
    return guarded(lambda: _run(parsed.pipeline, parsed.decoder, parsed.out))


def _run(pipeline: Path, decoder: Path, out: Path) -> int:
    path = join(pipeline, decoder, out)
    print(f"{path}: compressor and decompressor of {pipeline}, decoder of {decoder}")
    return 0


def join(pipeline: Path, decoder: Path, out: Path) -> Path:
    """Write the joined network into the folder `out`. Raises BenchError where the two do not fit together."""
    writing.check_folder(out, "name another folder with --out")
    config, tensors = _read(pipeline)
    other, second = _read(decoder)
    if "compressor" not in _parts(tensors):
        raise BenchError(f"{pipeline}: holds no compressor; name the run of a compressor's stage first")
    if "decoder" not in _parts(second):
        raise BenchError(f"{decoder}: holds no decoder; name the run of a decoder's stage second")
    config |= {key: value for key, value in other.items() if key.startswith("decoder_")}
    kept = {key: value for key, value in tensors.items() if not key.startswith("decoder.")}
    kept |= {key: value for key, value in second.items() if key.startswith("decoder.")}
    try:
        codec = build(FocalCodecConfig.from_dict(config), kept, f"{pipeline} with {decoder}")
    except (CheckpointError, ConfigError) as error:
        raise BenchError(" ".join(str(error).split())) from error
    out.mkdir(parents=True, exist_ok=True)
    save(codec, out / FILE)
    return out / FILE


def _read(run: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(config in its JSON form, tensors) of a run."""
    from safetensors import SafetensorError, safe_open

    path = run / FILE
    if not path.is_file():
        raise BenchError(f"{path}: no such file; name the folder of a finished run of bench.train")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = unpack({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise BenchError(f"{path}: cannot be read ({error}); train again") from error
    if "config" not in about:
        raise BenchError(f"{path}: does not tell its config; it is no run of the recipe focalcodec")
    return json.loads(about["config"]), tensors


def _parts(tensors: dict[str, Tensor]) -> set[str]:
    return {key.partition(".")[0] for key in tensors}


if __name__ == "__main__":
    sys.exit(main())
