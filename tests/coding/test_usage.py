"""Usage is a count over a set: it adds up, and equals the published reference vector."""

from __future__ import annotations

import numpy as np
import pytest

from bench.coding.codes import Codes, Tokens
from bench.coding.usage import Usage


def tokens(indices: np.ndarray, size: int, name: str = "t") -> Codes:
    return Codes((Tokens(name, 50.0, (size,) * indices.shape[1], indices),), 320 * len(indices), 16000)


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


def test_merging_counts_equals_counting_together() -> None:
    rng = np.random.default_rng(0)
    messages = [tokens(rng.integers(0, 16, (n, 2)), 16) for n in (3, 50, 1)]
    together = Usage()
    for codes in messages:
        together.add(codes)
    apart = Usage().add(messages[0]).merge(Usage().add(messages[1])).merge(Usage().add(messages[2]))
    assert apart.codebooks() == together.codebooks()


def test_a_codebook_with_one_used_entry_counts_zero() -> None:
    [book] = Usage().add(tokens(np.full((9, 1), 5), 16)).codebooks()
    assert (book.used, book.usage, book.entropy_of_used, book.entropy) == (1, 0.0, 0.0, 0.0)


def test_sizes_that_differ_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        Usage().add(tokens(np.zeros((1, 1), int), 4)).merge(Usage().add(tokens(np.zeros((1, 1), int), 8)))
