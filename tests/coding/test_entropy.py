"""The arithmetic coder is lossless, never far from its model's ideal length, and never much above the packed size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.coding import entropy
from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.errors import BadCodes


def message(*parts: Tokens | Packets | Vector) -> Codes:
    """Codes of audio as long as the longest part's frames last, and at least a second."""
    counts = [(len(part.indices if isinstance(part, Tokens) else part.payloads), part.rate_hz)
              for part in parts if not isinstance(part, Vector) and part.rate_hz]  # fmt: skip
    return Codes(tuple(parts), max([16000, *(math.ceil(16000 * count / rate) for count, rate in counts)]), 16000)


def skewed(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return np.minimum(rng.geometric(4.0 / (size + 3), (count, 1)) - 1, size - 1)


def all_kinds(seed: int) -> Codes:
    rng = np.random.default_rng(seed)
    return message(
        Tokens("content", 50.0, (8192, 3, 1), np.stack([rng.integers(0, v, 70) for v in (8192, 3, 1)], 1)),
        Tokens("speaker", 0, (1024,) * 2, rng.integers(0, 1024, (1, 2))),
        Packets("even", 50.0, tuple(rng.bytes(15) for _ in range(9))),
        Packets("uneven", 50.0, (b"", b"\xff" * 3, rng.bytes(40)), None),
        Packets("none", 50.0, ()),
        Vector("scale", rng.standard_normal(5)),
    )


def same(a: Codes, b: Codes) -> bool:
    return a.to_bytes() == b.to_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_lossless_for_every_kind_of_part(seed: int) -> None:
    codes = all_kinds(seed)
    assert same(entropy.decode(entropy.encode(codes)), codes)


@pytest.mark.parametrize("size", [1, 2, 3, 256, 8192, 65536])
@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_lossless_for_every_alphabet_and_length(size: int, count: int) -> None:
    rng = np.random.default_rng(size + count)
    for indices in (skewed(rng, count, size), rng.integers(0, size, (count, 1)), np.full((count, 1), size - 1)):
        codes = message(Tokens("t", 50.0, (size,), indices))
        assert same(entropy.decode(entropy.encode(codes)), codes)


def test_carry_runs_through_waiting_bytes() -> None:
    """Near-certain symbols at the top of the range make chains of 0xFF that a late carry has to turn over."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        intervals = [(int(rng.choice([0, 1, 65533, 65534])), int(rng.choice([1, 1, 2])), 65536) for _ in range(40)]
        coder = entropy.RangeEncoder()
        for start, frequency, total in intervals:
            coder.put(start, frequency, total)
        reader = entropy.RangeDecoder(coder.finish())
        for start, frequency, total in intervals:
            assert start <= reader.target(total) < start + frequency
            reader.take(start, frequency)


@pytest.mark.parametrize("size", [4, 256, 8192])
@pytest.mark.parametrize("count", [1, 40, 3000])
def test_stated_bits_are_the_bytes_written(size: int, count: int) -> None:
    rng = np.random.default_rng(size)
    for indices in (skewed(rng, count, size), rng.integers(0, size, (count, 1)), np.zeros((count, 1), int)):
        codes = message(Tokens("t", 50.0, (size,), indices))
        data = entropy.encode(codes)
        written = 8 * (len(data) - entropy.header_bytes(data))
        assert entropy.coded_bits(codes) - 16 <= written <= entropy.coded_bits(codes) + 16


def test_skewed_tokens_approach_their_entropy() -> None:
    rng = np.random.default_rng(0)
    probabilities = np.array([0.9, 0.05, 0.03, 0.02])
    codes = message(Tokens("t", 50.0, (4,), rng.choice(4, (20000, 1), p=probabilities)))
    ideal = -float((probabilities * np.log2(probabilities)).sum()) * 20000
    assert codes.payload_bits == 40000
    assert entropy.coded_bits(codes) == pytest.approx(ideal, rel=0.02)


def test_random_tokens_cost_at_most_the_mode_bits_more() -> None:
    rng = np.random.default_rng(1)
    codes = message(Tokens("t", 50.0, (1024,) * 4, rng.integers(0, 1024, (100, 4))))
    assert entropy.coded_bits(codes) <= codes.payload_bits + 2 * 4
    data = entropy.encode(codes)
    assert len(data) - entropy.header_bytes(data) <= math.ceil((codes.payload_bits + 8) / 8) + 2


def test_a_fitted_prior_saves_bits_and_stays_lossless() -> None:
    rng = np.random.default_rng(2)
    codes = message(Tokens("t", 50.0, (256,), skewed(rng, 200, 256)))
    other = np.bincount(skewed(rng, 20000, 256)[:, 0], minlength=256)
    prior = {("t", 0): other}
    assert entropy.coded_bits(codes, prior) < entropy.coded_bits(codes)
    data = entropy.encode(codes, prior)
    assert same(entropy.decode(data, prior), codes)
    assert abs(8 * (len(data) - entropy.header_bytes(data)) - entropy.coded_bits(codes, prior)) <= 16


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(BadCodes, match="SCE1"):
        entropy.decode(b"not codes at all")
    with pytest.raises(BadCodes, match="header"):
        entropy.decode(b"SCE1" + (4).to_bytes(4, "little") + b"{{{{")
