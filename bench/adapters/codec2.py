"""Codec 2 (David Rowe), parametric speech coding at 3200 to 700 bit/s, through the library that pycodec2 carries.

Tokens are the fields of a frame in the order of the bitstream, so that a message is exactly as long as the codec says
even where a frame is no whole number of octets, and an entropy coder sees parameters, not bytes.

The library is called through ctypes rather than through pycodec2's own class: it draws the phases of unvoiced sounds
from one random state per process that nothing resets, so a second decoding of the same bytes would differ from the
first. Loading the library afresh for each message starts that state anew; decoding is then a function of the codes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from bench.adapters import check_settings
from bench.audio import to_pcm16
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Tokens, pack_bits, unpack_bits
from bench.errors import BadCard, BenchError
from bench.fetch.weights import Weights

VERSION = "1"

# Mode number of codec2_create; samples per frame; bits of the fields in the order sent; delay in samples.
# v voicing, w pitch, e energy, l line spectra, x spare; 700C has two stages of a spectral VQ, energy and pitch.
# Delay: the analysis window is centred 20 ms before the end of its block, where synthesis puts it; 700C interpolates
# between frames and comes 10 ms later. Speech, with its steep onsets and slow ends, looks some ms earlier.
_MODES: Mapping[int, tuple[int, int, tuple[int, ...], int]] = {
    3200: (0, 160, (1, 1, 7, 5) + (5,) * 10, 160),  # v v w e l
    2400: (1, 160, (1, 1, 8) + (4,) * 7 + (3, 3, 2) + (2,), 160),  # v v we l x
    1200: (5, 320, (1, 1, 8, 1, 1, 8) + (9, 9, 9) + (1,), 160),  # v v we v v we l x
    700: (8, 320, (9, 9, 4, 6), 240),
}

_lock = threading.Lock()


class Codec2(Codec):
    """One mode of Codec 2 at 8 kHz."""

    sample_rate = 8000

    def __init__(self, bit_rate: int) -> None:
        if bit_rate not in _MODES:
            raise BadCard(f"codec2: bit_rate {bit_rate} is none of {sorted(_MODES)}")
        self.mode, self.frame, self.fields, self.delay = _MODES[bit_rate]
        self._widths = np.array(self.fields, np.int64)
        self._bytes = -(-int(self._widths.sum()) // 8)

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def _encode(self, wave: Wave) -> Codes:
        pcm = to_pcm16(wave)
        rows = []
        with _library() as library, _state(library, self.mode) as state:
            packed = (ctypes.c_ubyte * self._bytes)()
            for at in range(0, len(pcm), self.frame):
                frame = np.ascontiguousarray(pcm[at : at + self.frame])
                library.codec2_encode(state, packed, frame.ctypes.data_as(ctypes.POINTER(ctypes.c_short)))
                rows.append(unpack_bits(bytes(packed), self._widths))
        sizes = tuple(1 << width for width in self.fields)
        tokens = Tokens("fields", self.sample_rate / self.frame, sizes, np.stack(rows))
        return Codes((tokens,), len(wave), self.sample_rate)

    def _decode(self, codes: Codes) -> Wave:
        part = codes.part("fields")
        assert isinstance(part, Tokens)
        pcm = np.zeros((len(part.indices), self.frame), np.int16)
        with _library() as library, _state(library, self.mode) as state:
            for row, frame in zip(part.indices, pcm, strict=True):
                packed = pack_bits(row, self._widths)
                library.codec2_decode(state, frame.ctypes.data_as(ctypes.POINTER(ctypes.c_short)), packed)
        return pcm.reshape(-1).astype(np.float32) / np.float32(32768)


@cache
def _image() -> str:
    """Path of a private copy of the shared library: a file of ours alone, so that closing it really unloads it."""
    spec = importlib.util.find_spec("pycodec2")
    if spec is None or spec.origin is None:
        raise BenchError("codec2 needs the package pycodec2: pip install pycodec2")
    found = sorted(Path(spec.origin).parent.parent.glob("pycodec2.libs/libcodec2*.so*"))
    if not found:
        raise BenchError("codec2: this pycodec2 carries no libcodec2; install its wheel for Linux from PyPI")
    descriptor = os.memfd_create("libcodec2")
    with os.fdopen(descriptor, "wb", closefd=False) as copy:
        copy.write(found[0].read_bytes())
    return f"/proc/self/fd/{descriptor}"


@contextmanager
def _library() -> Iterator[ctypes.CDLL]:
    """The library with its random state as at the start of a process; one user at a time."""
    import _ctypes

    with _lock:
        library = ctypes.CDLL(_image())
        library.codec2_create.restype = ctypes.c_void_p
        for name in ("codec2_encode", "codec2_decode", "codec2_destroy"):
            function = getattr(library, name)
            function.restype = None
            rest = [] if name == "codec2_destroy" else [ctypes.c_void_p, ctypes.c_void_p]
            function.argtypes = [ctypes.c_void_p, *rest]
        try:
            yield library
        finally:
            _ctypes.dlclose(library._handle)


@contextmanager
def _state(library: ctypes.CDLL, mode: int) -> Iterator[int]:
    state = library.codec2_create(mode)
    if not state:
        raise BenchError(f"codec2: the library refuses mode {mode}")
    try:
        yield state
    finally:
        library.codec2_destroy(state)


def load(point: Point, weights: Weights, device: str) -> Codec:
    """Settings: `bit_rate` in bit/s."""
    check_settings(point, ["bit_rate"])
    return Codec2(int(point.settings["bit_rate"]))
