"""`hf:REPO`: an audio tokenizer of `transformers` without a card, by the name of its repository or by a folder.

`hf:user/name`, `hf:user/name@REVISION` or `hf:FOLDER`. Its `config.json` names the model and says rates and codebooks; all
codebooks are sent. What runs is named hf@user/name in every row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.adapters.hf import MODELS
from bench.adapters.hf.base import HubCodec
from bench.cards import Point, Stream, nominal_bits_per_s
from bench.errors import BenchError, UnknownName, WeightsInvalid
from bench.fetch import hub

PREFIX = "hf:"


def point(name: str) -> Point:
    """The operating point of `hf:REPO`. BenchError: it is none of the tokenizers that this adapter knows."""
    place = name.removeprefix(PREFIX)
    folder, (repo, _, revision) = Path(place).expanduser(), place.partition("@")
    where: dict[str, Any]
    if place and folder.is_dir():
        config, where = folder / "config.json", {"search": [str(folder.resolve())]}
        if not config.is_file():
            raise BenchError(f"{name}: {config} is not there; a folder needs {' and '.join(HubCodec.files)}")
        point_name = folder.resolve().name
    elif repo.count("/") == 1 and all(repo.split("/")):
        config = hub.snapshot(repo, ["config.json"], revision or None).files["config.json"]
        where, point_name = {"repo": repo, **({"revision": revision} if revision else {})}, place
    else:
        raise BenchError(f"{name}: neither a folder nor a repository; write hf:user/name, hf:user/name@REVISION or hf:FOLDER")
    model = _model(name, config)
    codec = _empty(name, model, config)
    streams = (Stream("codes", codec.feature_rate_hz, codec.sizes),)
    return Point(
        family="hf", point=point_name, adapter="hf", kind="neural", sample_rate=codec.sample_rate,
        output_rate=codec.output_rate, settings={"model": model, "codebooks": len(codec.sizes)},
        bitrate_kbps=nominal_bits_per_s(streams) / 1000, streams=streams,
        weights={"official": {**where, "files": list(HubCodec.files)}}, packages=("torch", "transformers"),
        summary=f"{MODELS[model].model_class} of {place}",
    )  # fmt: skip


def _model(name: str, config: Path) -> str:
    try:
        model = str(json.loads(config.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsInvalid(f"{name}: {config} does not say which model this is ({type(error).__name__}: {error})") from error
    if model not in MODELS:
        raise BenchError(f"{name}: no adapter for its model: {UnknownName('audio tokenizer', model, MODELS)}")
    return model


def _empty(name: str, model: str, config: Path) -> HubCodec:
    """The codec with all its codebooks, on no device: its rates and sizes are read off it."""
    import torch
    import torchaudio.compliance.kaldi  # noqa: F401 - on the meta device its constants would stay empty
    import transformers

    kind = MODELS[model]
    try:
        settings = getattr(transformers, kind.config_class).from_pretrained(config.parent, local_files_only=True)
        made = getattr(transformers, kind.model_class)
        with torch.device("meta"):
            network = made(settings)
        return kind(network, len(kind(network, 1, "meta").tables()), "meta")
    except Exception as error:  # each class checks its settings in its own way
        raise WeightsInvalid(f"{name}: {config} makes no {kind.model_class}: {str(error).splitlines()[0]}") from error
