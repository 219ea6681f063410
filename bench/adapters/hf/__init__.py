"""Audio tokenizers through their classes in `transformers`: EnCodec, DAC, Mimi, X-Codec, X-Codec 2, NeuCodec, Higgs.

Official weights are a hub snapshot (config.json and model.safetensors); random ones are the published architecture
with seeded values, for tests. Waves are coded one by one: these models pad in ways that would change codes in a batch.
Settings of a point: `model` (a name of `MODELS`) and `codebooks`, the number of residual stages that are sent;
`config` overrides single numbers of the architecture for random weights (small models in tests).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.adapters import check_settings
from bench.adapters.hf.base import HubCodec
from bench.adapters.hf.residual import Dac, Encodec, Higgs, Mimi, Xcodec
from bench.adapters.hf.scalar import NeuCodec, Xcodec2
from bench.cards import Point
from bench.coding.codec import Codec
from bench.errors import BadCard, UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.weights import Weights

if TYPE_CHECKING:
    import torch

VERSION = "1"


MODELS: Mapping[str, type[HubCodec]] = {
    "encodec": Encodec, "dac": Dac, "mimi": Mimi, "xcodec": Xcodec, "higgs_audio_v2_tokenizer": Higgs,
    "xcodec2": Xcodec2, "neucodec": NeuCodec,
}  # fmt: skip
"""By the name that `config.json` of a snapshot gives its model (`model_type`)."""


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec that the point's `model` names, with official or random weights; unknown settings are errors."""
    check_settings(point, ["model", "codebooks"], ["config"])
    name = point.settings["model"]
    if name not in MODELS:
        raise BadCard(f"{point.name}: {UnknownName('model', name, MODELS)}")
    kind, codebooks = MODELS[name], int(point.settings["codebooks"])
    if weights.kind == "random":
        return _random(kind, dict(point.settings.get("config", {})), weights.seed, codebooks, device)
    return kind(_official(kind, weights), codebooks, device)


def _random(kind: type[HubCodec], overrides: Mapping[str, Any], seed: int, codebooks: int, device: str) -> HubCodec:
    """The architecture with seeded values; codebooks too, which the classes leave at zero until they are loaded."""
    import torch
    import transformers

    config = getattr(transformers, kind.config_class)(**{**kind.official, **overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = getattr(transformers, kind.model_class)(config)
        for name, buffer in network.named_buffers():
            if name.rpartition(".")[2] in ("embed", "embed_sum"):
                buffer.normal_(std=0.05)
        codec = kind(network, codebooks, device)
        codec.spread()
    return codec


def _official(kind: type[HubCodec], weights: Weights) -> torch.nn.Module:
    """A folder of config.json and model.safetensors, loaded strictly and without network."""
    import transformers

    for wanted in kind.files:
        if wanted not in weights.files:
            raise WeightsMissing(f"{kind.model_class}: {wanted} is not among {sorted(weights.files)} ({weights.source})")
    folder = weights.files["model.safetensors"].parent
    _check_config(kind, weights.files["config.json"])
    try:
        # Shapes that differ are left out and told below: by itself the class raises with a report of many lines.
        network, info = getattr(transformers, kind.model_class).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # each class checks its settings in its own way
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsInvalid(f"{folder}: makes no {kind.model_class}, or is cut short or damaged: {why}") from error
    wrong = sorted(info["missing_keys"]) + sorted(str(one[0]) for one in info["mismatched_keys"])
    if wrong:
        raise WeightsInvalid(f"{weights.source}: {len(wrong)} tensors missing or misshapen, first {wrong[0]}")
    return network


def _check_config(kind: type[HubCodec], path: Path) -> None:
    """WeightsInvalid: no JSON, or of another model than the card's."""
    wanted = next(name for name, one in MODELS.items() if one is kind)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = str(config.get("model_type", wanted))
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsInvalid(f"{path}: cannot be read as a JSON object ({error}); fetch it again") from error
    if found != wanted:
        raise WeightsInvalid(f"{path}: is of a model '{found}', the card says '{wanted}'")
