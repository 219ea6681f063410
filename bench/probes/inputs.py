"""What a probe reads: token sequences, continuous features or log-mels, one array per utterance, with how to embed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.codes import Codes, Tokens, Vector

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass
class Inputs:
    """Inputs of a set of utterances under one system.

    tokens: id -> int64 [N, K] (streams of lower rate repeated up to the fastest one), or empty.
    features: id -> float32 [N, H] continuous, or empty. With both (FreeCodec's speaker vector) N is the same.
    sizes: codebook sizes [K]; tables: initial embeddings [V_k, H_k] or None where the codec has none.
    """

    name: str
    rate_hz: float
    tokens: dict[str, Ints] = field(default_factory=dict)
    features: dict[str, Floats] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    tables: tuple[Floats | None, ...] = ()

    @property
    def feature_dim(self) -> int:
        return next(iter(self.features.values())).shape[1] if self.features else 0

    def length(self, utterance: str) -> int:
        """Frames of an utterance."""
        return len(self.tokens[utterance] if self.tokens else self.features[utterance])


def from_codes(name: str, codes: Mapping[str, Codes], tables: Mapping[str, Sequence[Floats]] | None = None) -> Inputs:
    """Token inputs from codes. Streams are repeated in time to the fastest one; what is sent once is held throughout."""
    first = next(iter(codes.values()))
    streams = first.tokens
    if not streams:
        raise ValueError(f"{name}: its codes hold no tokens")
    rate = max(stream.rate_hz for stream in streams)
    made = Inputs(name, rate)
    made.sizes = tuple(size for stream in streams for size in stream.sizes)
    known = tables or {}
    made.tables = tuple(
        known[stream.name][k] if stream.name in known and k < len(known[stream.name]) else None
        for stream in streams
        for k in range(len(stream.sizes))
    )
    for utterance, item in codes.items():
        frames = max(len(stream.indices) for stream in item.tokens)
        columns = [stretch(stream.indices, frames) for stream in item.tokens]
        made.tokens[utterance] = np.concatenate(columns, axis=1).astype(np.int64)
        vectors = [part.values for part in item.parts if isinstance(part, Vector)]
        if vectors:
            once = np.concatenate(vectors).astype(np.float32)
            made.features[utterance] = np.repeat(once[None], frames, axis=0)
    return made


def stretch(indices: NDArray[np.int32], frames: int) -> NDArray[np.int32]:
    """[N, K] -> [frames, K]: each row held for as long as its share of time."""
    if len(indices) == frames:
        return indices
    at = np.minimum(np.arange(frames) * len(indices) // max(1, frames), len(indices) - 1)
    return indices[at]


def has_tokens(codes: Codes) -> bool:
    """Whether a probe on tokens makes sense (packets of a waveform codec are no tokens)."""
    return any(isinstance(part, Tokens) and len(part.indices) for part in codes.parts)


def log_mel(wave: Floats, rate_hz: int = 16000, bands: int = 80) -> Floats:
    """wave [T] at 16 kHz -> log-mel [N, bands] at 100 Hz (25 ms window), mean and variance normalised per utterance."""
    import librosa

    if rate_hz != 16000:
        raise ValueError(f"log_mel wants 16 kHz, got {rate_hz} Hz")
    power = librosa.feature.melspectrogram(y=wave, sr=rate_hz, n_fft=400, hop_length=160, n_mels=bands, fmin=20, fmax=7600)
    logs = np.log(np.maximum(power, 1e-8)).T.astype(np.float32)
    return (logs - logs.mean(axis=0)) / (logs.std(axis=0) + 1e-5)
