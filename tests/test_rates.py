"""Rates are bits over seconds, usage is a count over a set: both add up, and equal the published reference vector."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cards import Stream
from bench.codes import Codes, Packets, Tokens, Vector
from bench.rates import Rate, Usage, measure, nominal_bits_per_s


def tokens(indices: np.ndarray, size: int, name: str = "t") -> Codes:
    return Codes((Tokens(name, 50.0, (size,) * indices.shape[1], indices),), 320 * len(indices), 16000)


def test_nominal_rates_of_the_papers() -> None:
    for rate, kbps in ((50, 0.65), (25, 0.325), (12.5, 0.1625)):
        assert nominal_bits_per_s([Stream("tokens", rate, (8192,))]) == pytest.approx(1000 * kbps)
    two = [Stream("content", 57, (256,)), Stream("speaker", 0, (1024,) * 8)]
    assert nominal_bits_per_s(two) == pytest.approx(456)
    assert nominal_bits_per_s(two, seconds=4.0) == pytest.approx(456 + 80 / 4)
    assert nominal_bits_per_s([Stream("packets", 50, bits=95)]) == pytest.approx(4750)


def test_measured_rate_counts_side_information_over_the_seconds_asked_for() -> None:
    indices = np.zeros((50, 1), int)
    codes = Codes((Tokens("t", 50.0, (1000,), indices), Vector("s", np.ones(2)), Packets("p", 1.0, (b"abc",))), 16000, 16000)
    rate = measure(codes, seconds=0.5)
    assert rate.packed_bits == 50 * 10 + 32 + 24
    assert rate.nominal_bits == pytest.approx(50 * np.log2(1000) + 32 + 24)
    assert rate.packed_bits_per_s == pytest.approx(2 * rate.packed_bits)
    assert (rate + rate).packed_bits_per_s == pytest.approx(rate.packed_bits_per_s)
    assert np.isnan(Rate().packed_bits_per_s)


def test_usage_and_entropy_equal_the_reference_vector() -> None:
    """Values made with the paper's own evaluation code."""
    drawn = np.clip(np.random.default_rng(11).geometric(0.02, (1, 400, 2)) - 1, None, 255)[0]
    usage = Usage().add(tokens(drawn, 256))
    books = usage.codebooks()
    assert [book.entropy for book in books] == pytest.approx([6.562144342352246, 6.580709327724212])
    assert [book.entropy_of_all for book in books] == pytest.approx([0.8202680427940308, 0.8225886659655265])
    summary = usage.summary()
    assert summary["code_usage"] == pytest.approx(50.2, abs=0.05)
    assert summary["norm_entropy"] == pytest.approx(93.8, abs=0.05)
    assert usage.static_bits_per_s({"t": 50.0}) == pytest.approx(657.1426835038229)


def test_merging_counts_equals_counting_together() -> None:
    rng = np.random.default_rng(0)
    messages = [tokens(rng.integers(0, 16, (n, 2)), 16) for n in (3, 50, 1)]
    together = Usage()
    for codes in messages:
        together.add(codes)
    apart = Usage().add(messages[0]).merge(Usage().add(messages[1])).merge(Usage().add(messages[2]))
    assert apart.codebooks() == together.codebooks()
    left = together.without(messages[1])
    assert left.codebooks() == Usage().add(messages[0]).add(messages[2]).codebooks()


def test_a_codebook_with_one_used_entry_counts_zero() -> None:
    [book] = Usage().add(tokens(np.full((9, 1), 5), 16)).codebooks()
    assert (book.used, book.usage, book.entropy_of_used, book.entropy) == (1, 0.0, 0.0, 0.0)


def test_sizes_that_differ_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        Usage().add(tokens(np.zeros((1, 1), int), 4)).merge(Usage().add(tokens(np.zeros((1, 1), int), 8)))
