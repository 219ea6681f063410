"""Probe settings as named protocols: `focalcodec` and `dasb` as published, `embedded` for small sets on a CPU.

Sources: FocalCodec, arXiv 2502.04465, section 4.4 and its public recipes (characters and greedy CTC; statistics pooling;
NewBob on the validation loss, best epoch by the validation error; shortest utterances first). DASB,
speechbrain/benchmarks (attention over codebooks and beam search; ECAPA-TDNN for emotion and, here, speakers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from bench.errors import UnknownName


@dataclass(frozen=True)
class Training:
    """How every network on codec tokens is trained: AdamW or Adam, and NewBob on the validation loss."""

    protocol: str
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    batch: int = 16
    order: Literal["ascending", "shuffled"] = "ascending"
    """Batches from the shortest to the longest, the same in every epoch, or in random order."""
    epochs: int = 100
    improvement: float = 0.0025
    """Relative gain in validation below which the rate is lowered."""
    anneal: float = 0.9
    """What the rate is multiplied by then."""
    patience: int = 1
    """Epochs without such a gain that are waited for first."""
    clip: float = 0.01
    embedding_dim: int = 128
    """Of codebooks that the codec has no table for."""

    def asdict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Settings(Training):
    """Everything that decides a probe's outcome besides its data and seed."""

    encoder: Literal["bilstm", "ecapa"] = "bilstm"
    channels: int = 1024
    """Of ECAPA-TDNN."""
    pooling: Literal["linear", "attention"] = "linear"
    """How codebooks become one: fixed learned weights, or weights from each frame."""
    hidden: int = 512
    layers: int = 2
    dropout: float = 0.1
    optimiser: Literal["adamw", "adam"] = "adamw"
    crop: int = 0
    """Classifiers train on a random stretch of so many frames of every utterance; 0: on all of it."""
    beam: int = 0
    """Of the test; 0: greedy. Validation is always greedy."""
    validate: Literal["wer", "cer"] = "wer"
    """What chooses the best epoch of a recogniser (then the loss); small sets need the finer one."""
    width: int = 0
    """Width that every codebook is brought to; 0: left as they are where they agree."""

    def override(self, changes: Mapping[str, Any]) -> Settings:
        """A copy with `changes`; an unknown key names the nearest ones."""
        known = [item.name for item in fields(self)]
        for key in changes:
            if key not in known:
                raise UnknownName("probe setting", key, known)
        return replace(self, **changes)


_FOCALCODEC = Settings("focalcodec")
_EMBEDDED = Settings(
    "embedded", hidden=128, learning_rate=2e-3, batch=16, order="shuffled", epochs=25, anneal=0.7, clip=1.0, width=128,
)  # fmt: skip
_DASB_ASR = Settings(
    "dasb", pooling="attention", hidden=1024, dropout=0.2, optimiser="adam", learning_rate=2e-4, betas=(0.9, 0.999),
    weight_decay=0.0, batch=4, epochs=20, anneal=0.8, patience=0, clip=5.0, beam=143, width=1024,
)  # fmt: skip
_DASB_SER = replace(_DASB_ASR, encoder="ecapa", batch=2, epochs=30, beam=0, order="shuffled")

PROTOCOLS: Mapping[str, Mapping[str, Settings]] = {
    "focalcodec": dict.fromkeys(("asr", "si", "ser"), _FOCALCODEC),
    "dasb": {"asr": _DASB_ASR, "si": _DASB_SER, "ser": _DASB_SER},
    "embedded": {
        "asr": replace(_EMBEDDED, learning_rate=3e-3, batch=8, epochs=20, validate="cer"),
        "si": replace(_EMBEDDED, crop=50, epochs=40),
        "ser": replace(_EMBEDDED, hidden=64, crop=75, epochs=20),
    },
}


def settings(protocol: str, task: str) -> Settings:
    """The settings of `task` (asr, si, ser) under `protocol`."""
    if protocol not in PROTOCOLS:
        raise UnknownName("probe protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol][task]
