"""SpeechTokenizer behind the one interface: `codes`, the first `codebooks` of eight residual codebooks.

Conversion is the swap of codebooks, as in its paper: the first one holds what is said. Weights are the published folder,
config.json and SpeechTokenizer.pt (or another pickle of that layout), or the pickle alone for the released dimensions.
Settings: `codebooks`; `config` changes dimensions for random weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench.adapters._codebooks import CodebookCodec, asked, untrained
from bench.adapters._network import configured, named_file, read_state, taken_over, tokens
from bench.cards import Point
from bench.coding.codec import Codec
from bench.coding.codes import Part
from bench.errors import WeightsInvalid
from bench.fetch.weights import Weights
from bench.models.speechtokenizer import SpeechTokenizer, SpeechTokenizerConfig, from_state_dict

if TYPE_CHECKING:
    import torch

VERSION = "1"

_PICKLES = (".pt", ".pth", ".dev", ".safetensors")


class SpeechTokenizerAdapter(CodebookCodec):
    """One network at one number of codebooks."""

    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        indices = self.network.encode(wave, len(self.sizes))
        return (tokens("codes", self.feature_rate_hz, self.sizes, indices.movedim(0, -1)),)


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: a checkpoint of something else, or of other dimensions."""
    config = configured(point, SpeechTokenizerConfig(), ignored=("codebooks",))
    if weights.kind == "random":
        network = untrained(lambda: SpeechTokenizer(config), weights.seed)
    else:
        path = named_file(point, weights, _PICKLES)
        config = _published(point, weights, config)
        network = taken_over(point, lambda: from_state_dict(read_state(path), config, where=str(path)))
    return SpeechTokenizerAdapter(network, asked(point, config.codebooks), device)


def _published(point: Point, weights: Weights, default: SpeechTokenizerConfig) -> SpeechTokenizerConfig:
    """The dimensions that the folder's config.json names, or `default` where there is none."""
    path = next((path for path in weights.files.values() if path.name == "config.json"), None)
    return default if path is None else taken_over(point, lambda: SpeechTokenizerConfig.from_published(_read(path)))


def _read(path: Path) -> dict:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsInvalid(f"{path}: cannot be read as JSON ({error}); fetch it again") from error
    if not isinstance(data, dict):
        raise WeightsInvalid(f"{path}: holds no settings, but {type(data).__name__}")
    return data
