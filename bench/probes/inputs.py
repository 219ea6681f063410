"""What a probe reads: token sequences, continuous features or log-mels, one array per utterance, with how to embed them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.coding.codes import Codes, Tokens, Vector
from bench.errors import BadCodes

DEFINITION = "probe-inputs"
VERSION = "1"
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
MEL_RATE_HZ = 50.0


@dataclass
class Inputs:
    """Inputs of a set of utterances under one system.

    tokens: id -> int32 [N, K] (streams of lower rate repeated up to the fastest one), or empty.
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
        """Width of the features; 0 where tokens are read."""
        return next(iter(self.features.values())).shape[1] if self.features else 0

    def length(self, utterance: str) -> int:
        """Frames of an utterance."""
        return len(self.tokens[utterance] if self.tokens else self.features[utterance])

    def save(self, path: Path) -> None:
        """One .npz file, in one atomic step."""
        arrays: dict[str, NDArray] = {"rate_hz": np.array(self.rate_hz), "sizes": np.array(self.sizes, np.int64)}
        for kind in ("tokens", "features"):
            held = getattr(self, kind)
            if held:
                arrays[f"{kind}_ids"] = np.array(list(held))
                arrays[f"{kind}_lengths"] = np.array([len(one) for one in held.values()])
                arrays[kind] = np.concatenate(list(held.values()))
        arrays |= {f"table_{k}": table for k, table in enumerate(self.tables) if table is not None}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, allow_pickle=False, name=np.array(self.name), **arrays)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Inputs:
        """What `save` wrote."""
        with np.load(path) as data:
            made = cls(str(data["name"]), float(data["rate_hz"]), sizes=tuple(map(int, data["sizes"])))
            for kind in ("tokens", "features"):
                if kind in data:
                    ends = np.cumsum(data[f"{kind}_lengths"])[:-1]
                    setattr(made, kind, dict(zip(map(str, data[f"{kind}_ids"]), np.split(data[kind], ends), strict=True)))
            made.tables = tuple(data.get(f"table_{k}") for k in range(len(made.sizes)))
        return made


def from_codes(name: str, codes: Mapping[str, Codes], tables: Mapping[str, Sequence[Floats]] | None = None) -> Inputs:
    """Token inputs from codes. Streams are repeated in time to the fastest one; what is sent once is held throughout."""
    first = next(iter(codes.values()))
    streams = first.tokens
    if not streams:
        raise BadCodes(f"{name}: its codes hold no tokens")
    made = Inputs(name, max(stream.rate_hz for stream in streams))
    made.sizes = tuple(size for stream in streams for size in stream.sizes)
    known = tables or {}
    made.tables = tuple(
        np.asarray(known[stream.name][k], np.float32) if k < len(known.get(stream.name, ())) else None
        for stream in streams
        for k in range(len(stream.sizes))
    )
    for utterance, item in codes.items():
        frames = max(len(stream.indices) for stream in item.tokens)
        if frames == 0:
            raise BadCodes(f"{name}: utterance {utterance} is too short, it has no token")
        columns = [stretch(stream.indices, frames) for stream in item.tokens]
        made.tokens[utterance] = np.concatenate(columns, axis=1)
        vectors = [part.values for part in item.parts if isinstance(part, Vector)]
        if vectors:
            once = np.concatenate(vectors).astype(np.float32)
            made.features[utterance] = np.repeat(once[None], frames, axis=0)
    return made


def stretch(indices: Ints, frames: int) -> Ints:
    """[N, K] -> [frames, K]: each row held for as long as its share of time."""
    if len(indices) == frames:
        return indices
    at = np.minimum(np.arange(frames) * len(indices) // max(1, frames), len(indices) - 1)
    return indices[at]


def has_tokens(codes: Codes) -> bool:
    """Whether a probe on tokens makes sense (packets of a waveform codec are no tokens)."""
    return any(isinstance(part, Tokens) and part.rate_hz > 0 for part in codes.parts)


def log_mel(wave: Floats, rate_hz: int = 16000, bands: int = 80) -> Floats:
    """wave [T] at 16 kHz -> [N, 2 bands] at 50 Hz: two neighbouring log-mels (25 ms window, 10 ms hop), of mean 0
    and variance 1 over the utterance. All bands share the scale: the long-term spectrum tells who speaks."""
    import librosa

    if rate_hz != 16000:
        raise ValueError(f"log_mel wants 16 kHz, got {rate_hz} Hz")
    power = librosa.feature.melspectrogram(y=wave, sr=rate_hz, n_fft=400, hop_length=160, n_mels=bands, fmin=20, fmax=7600)
    logs = np.log(np.maximum(power, 1e-8)).T.astype(np.float32)
    logs = (logs - logs.mean()) / (logs.std() + np.float32(1e-5))
    even = np.pad(logs, ((0, len(logs) % 2), (0, 0)), mode="edge")
    return even.reshape(-1, 2 * bands)
