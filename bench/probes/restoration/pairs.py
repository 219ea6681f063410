"""What a head learns from: a codec's tokens or features of what is heard, and its tokens of what was said."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.coding.codes import Codes, Part, Tokens
from bench.errors import BadCodes
from bench.probes import inputs as reading
from bench.probes.inputs import Floats, Inputs, Ints


@dataclass
class Pairs:
    """inputs: of noisy or mixed recordings. targets: id -> int32 [S, N, K], tokens of S clean recordings over the N frames.

    sizes, tables: of the K codebooks, as in Inputs. streams: codebooks of each token stream. rows: id -> rows of each
    stream, before streams of lower rate were held to N frames.
    """

    inputs: Inputs
    targets: dict[str, Ints]
    sizes: tuple[int, ...]
    tables: tuple[Floats | None, ...]
    streams: tuple[int, ...]
    rows: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def sources(self) -> int:
        """Clean recordings of each utterance."""
        return len(next(iter(self.targets.values())))

    def save(self, path: Path) -> None:
        """Two .npz files, the inputs' and one beside it."""
        self.inputs.save(path)
        names = list(self.targets)
        arrays = {f"table_{k}": table for k, table in enumerate(self.tables) if table is not None}
        part = path.with_suffix(f".{os.getpid()}.targets.npz")
        np.savez(
            part, allow_pickle=False, ids=np.array(names), rows=np.array([self.rows[name] for name in names]),
            lengths=np.array([self.targets[name].shape[1] for name in names]), sizes=np.array(self.sizes, np.int64),
            targets=np.concatenate([self.targets[name] for name in names], axis=1), streams=np.array(self.streams), **arrays,
        )  # fmt: skip
        part.replace(_beside(path))

    @classmethod
    def load(cls, path: Path) -> Pairs:
        """What `save` wrote."""
        with np.load(_beside(path)) as data:
            names, sizes = list(map(str, data["ids"])), tuple(map(int, data["sizes"]))
            whole = np.split(data["targets"], np.cumsum(data["lengths"])[:-1], axis=1)
            return cls(
                Inputs.load(path), dict(zip(names, whole, strict=True)), sizes,
                tuple(data.get(f"table_{k}") for k in range(len(sizes))), tuple(map(int, data["streams"])),
                {name: tuple(map(int, row)) for name, row in zip(names, data["rows"], strict=True)},
            )  # fmt: skip


def _beside(path: Path) -> Path:
    return path.with_suffix(".targets.npz")


def from_codes(
    name: str, heard: Mapping[str, Codes], said: Mapping[str, Sequence[Codes]],
    tables: Mapping[str, Sequence[Floats]] | None = None,
) -> Pairs:  # fmt: skip
    """Pairs of codes: of what is heard, and of each clean recording in it. Raises BadCodes where their lengths differ."""
    inputs = reading.from_codes(name, heard, tables)
    streams = next(iter(heard.values())).tokens
    made = Pairs(inputs, {}, inputs.sizes, inputs.tables, tuple(len(stream.sizes) for stream in streams))
    for utterance, codes in heard.items():
        rows = tuple(len(stream.indices) for stream in codes.tokens)
        for clean in said[utterance]:
            if tuple(len(stream.indices) for stream in clean.tokens) != rows:
                raise BadCodes(f"{name}: utterance {utterance} has another number of tokens than its clean recording")
        made.rows[utterance] = rows
        made.targets[utterance] = np.stack([
            np.concatenate([reading.stretch(stream.indices, inputs.length(utterance)) for stream in clean.tokens], axis=1)
            for clean in said[utterance]
        ])  # fmt: skip
    return made


def continuous(pairs: Pairs, features: Mapping[str, Floats], name: str) -> Pairs:
    """The same pairs with features [M, H] in place of tokens as inputs, brought to the N frames of the tokens."""
    inputs = Inputs(name, pairs.inputs.rate_hz)
    inputs.features = {key: _brought(features[key], pairs.inputs.length(key)) for key in pairs.targets}
    return Pairs(inputs, pairs.targets, pairs.sizes, pairs.tables, pairs.streams, pairs.rows)


def _brought(features: Floats, frames: int) -> Floats:
    """[M, H] -> [frames, H]: the mean of those that share a frame's time, or each held for its share of it."""
    if len(features) <= frames:
        return features[np.minimum(np.arange(frames) * len(features) // frames, len(features) - 1)]
    at = np.arange(len(features)) * frames // len(features)
    sums = np.zeros((frames, features.shape[1]), np.float64)
    np.add.at(sums, at, features)
    return np.asarray(sums / np.bincount(at, minlength=frames)[:, None], np.float32)


def replaced(codes: Codes, tokens: Sequence[Ints]) -> Codes:
    """`codes` with the indices of its token streams replaced, [N_s, K_s] each; what is no token stays."""
    new = iter(tokens)
    parts: list[Part] = [
        Tokens(part.name, part.rate_hz, part.sizes, next(new)) if isinstance(part, Tokens) else part for part in codes.parts
    ]
    return Codes(tuple(parts), codes.num_samples, codes.sample_rate)
