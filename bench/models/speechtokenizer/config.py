"""What a SpeechTokenizer network is made of; the defaults are the released model's.

Reference: SpeechTokenizer (arXiv 2308.16692v2) and the `config.json` beside its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from bench.models.blocks.seanet import Activation, Side

_ACTIVATIONS: Mapping[str, Activation] = {"ELU": "elu", "Snake": "snake"}
# Name in the published config.json -> name here.
_NAMES = {
    "n_filters": "width",
    "strides": "strides",
    "dimension": "dim",
    "semantic_dimension": "semantic_dim",
    "bidirectional": "bidirectional",
    "dilation_base": "dilation_base",
    "residual_kernel_size": "residual_kernel_size",
    "n_residual_layers": "residual_layers",
    "lstm_layers": "lstm_layers",
    "activation": "activation",
    "codebook_size": "codebook_size",
    "n_q": "codebooks",
    "sample_rate": "sample_rate",
}


@dataclass(frozen=True)
class SpeechTokenizerConfig:
    """One network. `strides` are the decoder's in order; `semantic_dim` is the width of the teacher's features."""

    width: int = 64
    strides: tuple[int, ...] = (8, 5, 4, 2)
    dim: int = 1024
    semantic_dim: int = 768
    bidirectional: bool = True
    dilation_base: int = 2
    residual_kernel_size: int = 3
    residual_layers: int = 1
    lstm_layers: int = 2
    activation: Activation = "elu"
    codebook_size: int = 1024
    codebooks: int = 8
    sample_rate: int = 16000

    @property
    def hop(self) -> int:
        """Samples per frame of codes."""
        return prod(self.strides)

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second, Hz."""
        return self.sample_rate / self.hop

    def side(self) -> Side:
        """The settings that encoder and decoder share."""
        return Side(
            width=self.width,
            residual_kernel_size=self.residual_kernel_size,
            residual_layers=self.residual_layers,
            dilation_base=self.dilation_base,
            lstm_layers=self.lstm_layers,
            bidirectional=self.bidirectional,
            activation=self.activation,
        )

    @classmethod
    def from_published(cls, data: Mapping[str, Any]) -> SpeechTokenizerConfig:
        """From the published `config.json`, whose further keys are settings of training. ValueError: a key that the
        network needs is missing, or names an activation that is none of ELU and Snake."""
        if missing := sorted(set(_NAMES) - set(data)):
            raise ValueError(f"config.json has no key '{missing[0]}'")
        values = {ours: data[theirs] for theirs, ours in _NAMES.items()}
        if values["activation"] not in _ACTIVATIONS:
            raise ValueError(f"config.json: activation is '{values['activation']}', must be one of {', '.join(_ACTIVATIONS)}")
        values |= {"activation": _ACTIVATIONS[values["activation"]], "strides": tuple(values["strides"])}
        return cls(**values)
