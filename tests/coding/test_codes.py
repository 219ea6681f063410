"""Codes are values: bytes and back, exact bits, clear errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.coding.codes import Codes, Packets, Tokens, Vector, pack_bits, unpack_bits
from bench.errors import BadCodes


def example(seed: int = 0, frames: int = 7) -> Codes:
    rng = np.random.default_rng(seed)
    return Codes(
        (
            Tokens("content", 50.0, (1024, 3, 1), np.stack([rng.integers(0, v, frames) for v in (1024, 3, 1)], 1)),
            Tokens("speaker", 0.0, (256,), rng.integers(0, 256, (1, 1))),
            Packets("frames", 50.0, (b"ab", b"", b"cde")),
            Vector("timbre", rng.normal(size=5)),
        ),
        16000,
        16000,
    )


@pytest.mark.parametrize("seed", range(20))
def test_packing_is_lossless_and_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = rng.integers(0, 21, rng.integers(0, 60))
    values = rng.integers(0, 2**widths)
    data = pack_bits(values, widths)
    assert len(data) == -(-int(widths.sum()) // 8)
    np.testing.assert_array_equal(unpack_bits(data, widths), values)


def test_bytes_round_trip() -> None:
    codes = example()
    again = Codes.from_bytes(codes.to_bytes())
    assert again.to_bytes() == codes.to_bytes() and again.sha256 == codes.sha256
    np.testing.assert_array_equal(again.part("content").indices, codes.part("content").indices)
    np.testing.assert_array_equal(again.part("timbre").values, codes.part("timbre").values)
    assert again.part("frames").payloads == (b"ab", b"", b"cde")


def test_bits_are_counted_exactly() -> None:
    codes = example(frames=7)
    # 7 frames of 10 + 2 + 0 bits, one byte once, 5 payload bytes, 5 half floats
    assert codes.payload_bits == 7 * 12 + 8 + 8 * 5 + 16 * 5
    assert codes.nominal_bits == pytest.approx(7 * (10 + np.log2(3)) + 8 + 40 + 80)


def test_codes_travel_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "codes").write_bytes(example().to_bytes())
    script = "import sys; from bench.coding.codes import Codes; print(Codes.from_bytes(open(sys.argv[1],'rb').read()).sha256)"
    out = subprocess.run([sys.executable, "-c", script, str(tmp_path / "codes")], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == example().sha256


@pytest.mark.parametrize("cut", [3, 6, 40, -1])
def test_damaged_bytes_are_refused(cut: int) -> None:
    with pytest.raises(BadCodes):
        Codes.from_bytes(example().to_bytes()[:cut])


def test_an_index_outside_its_codebook_is_refused() -> None:
    with pytest.raises(BadCodes, match="content"):
        Tokens("content", 50.0, (4,), np.array([[4]]))
    with pytest.raises(BadCodes, match="do not fit"):
        Tokens("content", 50.0, (4, 4), np.array([[1]]))
