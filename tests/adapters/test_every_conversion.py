"""Conversion and probes of every codec with tokens: a swap or its own means, and the tokens and tables that probes take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench import cards
from bench.coding.codec import Converts, HasCodebooks, HasFeatures, encode, output_samples, pad
from bench.engine.producers.conversion import OWN, SWAP, convert
from tests.adapters.conftest import voiced_bursts

POINTS = {point.name: point for point in cards.all_points()}
NEURAL = [name for name, point in POINTS.items() if point.kind == "neural" and point.family != "lyra"]
# One point of each family, the one with most codebooks: a swap needs two.
MOST = {POINTS[name].family: name for name in sorted(NEURAL, key=lambda name: sum(len(s.sizes) for s in POINTS[name].streams))}
every = pytest.mark.parametrize("name", MOST.values())


@every
def test_every_codec_converts(name: str, subject: Callable[[str], Any]) -> None:
    codec = subject(name).codec
    source, voice = (voiced_bursts(codec.sample_rate, seconds, seed) for seconds, seed in ((0.8, 1), (1.1, 2)))
    wave, method = convert(codec, source, [voice])
    wanted = output_samples(codec, len(source))
    assert np.isfinite(wave).all() and abs(len(wave) - wanted) <= 0.1 * codec.output_rate
    running = [part for part in encode(codec, [source])[0].tokens if part.rate_hz]
    assert method == (OWN if isinstance(codec, Converts) else SWAP)
    assert isinstance(codec, Converts) or sum(len(part.sizes) for part in running) > 1


@every
def test_probes_find_tokens_and_their_tables(name: str, subject: Callable[[str], Any]) -> None:
    codec = subject(name).codec
    wave = pad(codec, voiced_bursts(codec.sample_rate, 0.8, 1))
    tokens = {part.name: part for part in encode(codec, [wave])[0].tokens if part.rate_hz}
    assert tokens and all(len(part.indices) > 0 for part in tokens.values())
    if isinstance(codec, HasCodebooks):
        for part, tables in codec.codebooks().items():
            if part in tokens:
                sizes = tokens[part].sizes
                assert len(tables) == len(sizes) and all(len(table) >= size for table, size in zip(tables, sizes, strict=True))
                assert all(np.isfinite(table).all() for table in tables)
    if isinstance(codec, HasFeatures):
        found = codec.features(wave)
        assert found.ndim == 2 and np.isfinite(found).all() and codec.feature_rate_hz > 0
        assert abs(len(found) - len(wave) / codec.sample_rate * codec.feature_rate_hz) <= 3
