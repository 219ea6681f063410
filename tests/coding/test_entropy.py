"""The stated size of an entropy-coded message: what a range coder of another library writes under the same model."""

from __future__ import annotations

import math

import constriction
import numpy as np
import pytest

from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.coding.entropy import SPEEDS, coded_bits, column_bits


def message(*parts: Tokens | Packets | Vector) -> Codes:
    """Codes of audio as long as the longest part's frames last, and at least a second."""
    counts = [(len(part.indices if isinstance(part, Tokens) else part.payloads), part.rate_hz)
              for part in parts if not isinstance(part, Vector) and part.rate_hz]  # fmt: skip
    return Codes(tuple(parts), max([16000, *(math.ceil(16000 * count / rate) for count, rate in counts)]), 16000)


def skewed(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return np.minimum(rng.geometric(4.0 / (size + 3), (count, 1)) - 1, size - 1)


def models(size: int, speed: int):  # type: ignore[no-untyped-def]
    """The adaptive law of one column: a model for the next symbol, told each symbol once it is known."""
    counts = np.ones(size)
    while True:
        symbol = yield constriction.stream.model.Categorical(counts / counts.sum(), perfect=False)
        counts[symbol] += speed
        yield None


def written(columns: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """32-bit words that constriction's range coder writes for columns of (symbols [N], alphabet)."""
    coder = constriction.stream.queue.RangeEncoder()
    for symbols, size in columns:
        if size < 2:
            continue
        speed = column_bits(symbols, size)[1]
        coder.encode(np.array([speed], np.int32), constriction.stream.model.Uniform(len(SPEEDS)))
        law = models(size, SPEEDS[speed])
        for symbol in symbols.tolist():
            coder.encode(np.array([symbol], np.int32), next(law))
            law.send(symbol)
    return coder.get_compressed()


def read(words: np.ndarray, shape: list[tuple[int, int]]) -> list[list[int]]:
    """The columns of (count, alphabet) back from the words."""
    coder = constriction.stream.queue.RangeDecoder(words)
    columns = []
    for count, size in shape:
        speed = int(coder.decode(constriction.stream.model.Uniform(len(SPEEDS)), 1)[0])
        law, found = models(size, SPEEDS[speed]), []
        for _ in range(count):
            found.append(int(coder.decode(next(law), 1)[0]))
            law.send(found[-1])
        columns.append(found)
    return columns


@pytest.mark.parametrize("size", [2, 4, 256])
@pytest.mark.parametrize("count", [1, 40, 2000])
def test_stated_bits_are_what_a_range_coder_writes(size: int, count: int) -> None:
    """To within its last two words; and the message comes back."""
    rng = np.random.default_rng(size)
    for indices in (skewed(rng, count, size), rng.integers(0, size, (count, 1)), np.zeros((count, 1), int)):
        codes = message(Tokens("t", 50.0, (size,), indices))
        words = written([(indices[:, 0], size)])
        assert coded_bits(codes) - 1 <= 32 * len(words) <= coded_bits(codes) * 1.001 + 64
        assert read(words, [(count, size)]) == [indices[:, 0].tolist()]


def test_every_kind_of_part_is_counted() -> None:
    """Codebooks are columns of their own, packets a column of bytes, vectors one of 16-bit halves; a codebook of one is free."""
    rng = np.random.default_rng(0)
    tokens = np.stack([rng.integers(0, size, 70) for size in (64, 3, 1)], 1)
    packets = (b"", b"\xff" * 30, rng.bytes(40))
    alone = [
        message(Tokens("a", 50.0, (64,), tokens[:, :1])),
        message(Tokens("b", 50.0, (3,), tokens[:, 1:2])),
        message(Packets("c", 50.0, packets, None)),
    ]
    together = message(Tokens("t", 50.0, (64, 3, 1), tokens), Packets("c", 50.0, packets, None))
    assert coded_bits(together) == pytest.approx(sum(coded_bits(one) for one in alone), abs=len(alone))
    joined = np.frombuffer(b"".join(packets), np.uint8).astype(np.int64)
    words = written([(tokens[:, 0], 64), (tokens[:, 1], 3), (joined, 256)])
    assert coded_bits(together) - 1 <= 32 * len(words) <= coded_bits(together) + 64
    assert coded_bits(message(Vector("scale", np.zeros(0)))) == 2
    assert coded_bits(message(Tokens("one", 50.0, (1,), np.zeros((9, 1), int)))) == 0


def test_skewed_tokens_approach_their_entropy() -> None:
    rng = np.random.default_rng(0)
    probabilities = np.array([0.9, 0.05, 0.03, 0.02])
    codes = message(Tokens("t", 50.0, (4,), rng.choice(4, (20000, 1), p=probabilities)))
    ideal = -float((probabilities * np.log2(probabilities)).sum()) * 20000
    assert codes.payload_bits == 40000
    assert coded_bits(codes) == pytest.approx(ideal, rel=0.02)


def test_random_tokens_cost_at_most_the_mode_bits_more() -> None:
    rng = np.random.default_rng(1)
    codes = message(Tokens("t", 50.0, (1024,) * 4, rng.integers(0, 1024, (100, 4))))
    assert coded_bits(codes) <= codes.payload_bits + 2 * 4
