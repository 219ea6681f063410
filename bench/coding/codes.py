"""Codes: what a codec sends for one utterance, as a value that can be stored, measured and decoded elsewhere.

A message has parts. Tokens are integer streams with their own rates, Packets are opaque byte frames, a Vector is a
continuous side channel sent once. Bits are exact: ceil(log2 V) per token when packed, 8 per packet byte, 16 per value.

What is not counted cannot carry speech. The layout (names, kinds, rates, codebook sizes, frame sizes) is bounded here and
the same in every message of a codec (`bench.coding.codec.encode` compares it); a frame's payload is no longer than the bits
it is counted with; and there are no more tokens or frames than the declared rate gives for the length.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from bench.errors import BadCodes

_MAGIC = b"SCB1"
MOST_PARTS = 16
LONGEST_NAME = 40
MOST_LAYOUT_BYTES = 2048
"""Of the layout as JSON: thirty codebooks take some 200."""
LARGEST_CODEBOOK = 1 << 30
SPARE_TOKENS = 8
"""Tokens or frames of a part beyond its rate times the length: ends that overlap, a frame for look-ahead."""


def pack_bits(values: np.ndarray, widths: np.ndarray) -> bytes:
    """Pack unsigned integers `values` [M] with `widths` [M] bits each, most significant bit first."""
    if values.size == 0 or int(widths.sum()) == 0:
        return b""
    widest = int(widths.max())
    shifts = np.arange(widest - 1, -1, -1)
    bits = (values[:, None].astype(np.int64) >> shifts) & 1
    keep = shifts[None, :] < widths[:, None]
    return np.packbits(bits[keep].astype(np.uint8)).tobytes()


def unpack_bits(data: bytes, widths: np.ndarray) -> np.ndarray:
    """Inverse of `pack_bits`: int64 [M]. Raises BadCodes when `data` is too short."""
    total = int(widths.sum())
    if total == 0:
        return np.zeros(len(widths), np.int64)
    if len(data) * 8 < total:
        raise BadCodes(f"code bytes are cut short: {len(data) * 8} bits where {total} are needed")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=total)
    widest = int(widths.max())
    grid = np.zeros((len(widths), widest), np.int64)
    shifts = np.arange(widest - 1, -1, -1)
    grid[shifts[None, :] < widths[:, None]] = bits
    return (grid << shifts).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Tokens:
    """A token stream: `indices` int [N, K], one column per codebook of `sizes` [K]; `rate_hz` 0 means sent once."""

    name: str
    rate_hz: float
    sizes: tuple[int, ...]
    indices: np.ndarray

    def __post_init__(self) -> None:
        _check_part(self.name, self.rate_hz)
        for size in self.sizes:
            if not isinstance(size, int | np.integer) or isinstance(size, bool) or not 1 <= size <= LARGEST_CODEBOOK:
                raise BadCodes(f"tokens '{self.name}': a codebook has a whole number of entries, at least 1, not {size!r}")
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))
        given = np.asarray(self.indices)
        if given.ndim != 2 or given.shape[1] != len(self.sizes):
            raise BadCodes(f"tokens '{self.name}': indices {given.shape} do not fit {len(self.sizes)} codebooks")
        if given.size and given.dtype.kind not in "iu":
            raise BadCodes(f"tokens '{self.name}': indices are whole numbers, not {given.dtype}")
        if given.size and (given.min() < 0 or (given >= np.array(self.sizes)).any()):
            raise BadCodes(f"tokens '{self.name}': an index lies outside its codebook of sizes {self.sizes}")
        object.__setattr__(self, "indices", np.ascontiguousarray(given, dtype=np.int32))

    @property
    def widths(self) -> np.ndarray:
        """Bits per packed token and codebook, int [K]."""
        return np.array([max(0, math.ceil(math.log2(size))) for size in self.sizes], np.int64)

    @property
    def bits(self) -> int:
        """Packed size in bits."""
        return int(self.widths.sum()) * len(self.indices)

    @property
    def nominal_bits(self) -> float:
        """N x sum_k log2 V_k bits, the rate that papers print."""
        return float(sum(math.log2(size) for size in self.sizes)) * len(self.indices)


@dataclass(frozen=True, eq=False)
class Packets:
    """Opaque frames, one bytes object each.

    `frame_bits` is the exact size when a frame is no whole number of bytes: a payload has as many bytes as hold them, and
    the bits to spare, the last ones, are zero.
    """

    name: str
    rate_hz: float
    payloads: tuple[bytes, ...]
    frame_bits: int | None = None

    def __post_init__(self) -> None:
        _check_part(self.name, self.rate_hz)
        payloads = tuple(self.payloads)
        for payload in payloads:
            if not isinstance(payload, bytes):
                raise BadCodes(f"packets '{self.name}': a payload is bytes, not {type(payload).__name__}")
        object.__setattr__(self, "payloads", payloads)
        if self.frame_bits is None:
            return
        if not isinstance(self.frame_bits, int) or isinstance(self.frame_bits, bool) or self.frame_bits < 0:
            raise BadCodes(f"packets '{self.name}': frame_bits is a whole number of bits, not {self.frame_bits!r}")
        whole, spare = -(-self.frame_bits // 8), -self.frame_bits % 8
        for payload in payloads:
            if len(payload) > whole or (len(payload) == whole and spare and payload[-1] & ((1 << spare) - 1)):
                raise BadCodes(
                    f"packets '{self.name}': a frame of {8 * len(payload)} bits holds more than its frame_bits, {self.frame_bits}"
                )

    @property
    def bits(self) -> int:
        """Bits of all packets, as they are sent."""
        if self.frame_bits is not None:
            return self.frame_bits * len(self.payloads)
        return 8 * sum(map(len, self.payloads))

    @property
    def nominal_bits(self) -> float:
        """The same as `bits`: packets have no other size."""
        return float(self.bits)


@dataclass(frozen=True, eq=False)
class Vector:
    """A continuous vector sent once, float16 [D]: 16 bits per value."""

    name: str
    values: np.ndarray

    def __post_init__(self) -> None:
        _check_part(self.name)
        object.__setattr__(self, "values", np.ascontiguousarray(self.values, dtype=np.float16).reshape(-1))

    @property
    def bits(self) -> int:
        """16 bits a value."""
        return 16 * self.values.size

    @property
    def nominal_bits(self) -> float:
        """The same as `bits`."""
        return float(self.bits)


Part: TypeAlias = Tokens | Packets | Vector


def _check_part(name: object, rate_hz: object = 0.0) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadCodes(f"a part's name is 1 to {LONGEST_NAME} printable characters, not {str(name)[:60]!r}")
    number = isinstance(rate_hz, int | float | np.integer | np.floating) and not isinstance(rate_hz, bool)
    if not number or not math.isfinite(float(rate_hz)) or float(rate_hz) < 0:  # type: ignore[arg-type]
        raise BadCodes(f"part '{name}': rate_hz is a number of Hz, or 0 for what is sent once, not {rate_hz!r}")


@dataclass(frozen=True, eq=False)
class Codes:
    """One utterance's message. `num_samples` is the length of the encoded wave in samples at `sample_rate` Hz."""

    parts: tuple[Part, ...]
    num_samples: int
    sample_rate: int

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if len(names) > MOST_PARTS:
            raise BadCodes(f"codes have {len(names)} parts; {MOST_PARTS} are the most")
        if len(set(names)) != len(names):
            raise BadCodes(f"codes name two parts alike: {', '.join(names)}")
        if self.num_samples < 0 or self.sample_rate < 1:
            raise BadCodes(f"codes of {self.num_samples} samples at {self.sample_rate} Hz")
        size = len(json.dumps(self.layout))
        if size > MOST_LAYOUT_BYTES:
            raise BadCodes(f"the layout of these codes takes {size} bytes, not counted; {MOST_LAYOUT_BYTES} are the most")
        for part in self.parts:
            if isinstance(part, Vector):
                continue
            count = len(part.indices) if isinstance(part, Tokens) else len(part.payloads)
            most = part.rate_hz * self.seconds + SPARE_TOKENS if part.rate_hz else SPARE_TOKENS
            if count > most:
                raise BadCodes(
                    f"part '{part.name}' has {count} frames; its rate of {part.rate_hz:g} Hz gives about "
                    f"{part.rate_hz * self.seconds:.0f} for {self.seconds:.2f} s"
                )

    @property
    def layout(self) -> list[list[Any]]:
        """What is the same in every message of a codec: of each part its kind, name, rate, codebook and frame sizes."""
        return [[*_KINDS[type(part)](part)] for part in self.parts]

    @property
    def seconds(self) -> float:
        """Duration of the coded audio, s."""
        return self.num_samples / self.sample_rate

    @property
    def payload_bits(self) -> int:
        """Bits of all parts when packed, side information included, container header apart."""
        return sum(part.bits for part in self.parts)

    @property
    def nominal_bits(self) -> float:
        """Bits by the papers' count: log2 of the codebook size per token."""
        return sum(part.nominal_bits for part in self.parts)

    def part(self, name: str) -> Part:
        """The part called `name`; raises BadCodes naming those present."""
        for part in self.parts:
            if part.name == name:
                return part
        raise BadCodes(f"codes have no part '{name}'; they have {[part.name for part in self.parts]}")

    @property
    def tokens(self) -> tuple[Tokens, ...]:
        """The parts that are tokens."""
        return tuple(part for part in self.parts if isinstance(part, Tokens))

    @property
    def sha256(self) -> str:
        """Hash of the bytes that are sent."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The file: magic, header length, header (JSON), then every part's payload padded to a byte."""
        header: list[dict] = []
        body = bytearray()
        for part in self.parts:
            entry: dict = {"name": part.name}
            if isinstance(part, Tokens):
                count = len(part.indices)
                data = pack_bits(part.indices.reshape(-1), np.tile(part.widths, count))
                entry |= {"type": "tokens", "rate_hz": part.rate_hz, "sizes": list(part.sizes), "count": count}
            elif isinstance(part, Packets):
                data = b"".join(part.payloads)
                lengths = [len(payload) for payload in part.payloads]
                entry |= {"type": "packets", "rate_hz": part.rate_hz, "frame_bits": part.frame_bits}
                same = len(set(lengths)) == 1
                entry |= {"each": lengths[0], "count": len(lengths)} if same else {"lengths": lengths}
            else:
                data = part.values.astype("<f2").tobytes()
                entry |= {"type": "vector", "count": int(part.values.size)}
            entry["bytes"] = len(data)
            header.append(entry)
            body += data
        head = json.dumps({"n": self.num_samples, "sr": self.sample_rate, "parts": header}, separators=(",", ":")).encode()
        return _MAGIC + struct.pack("<I", len(head)) + head + bytes(body)

    @classmethod
    def from_bytes(cls, data: bytes) -> Codes:
        """Read what `to_bytes` wrote; raises BadCodes on anything else."""
        if data[:4] != _MAGIC or len(data) < 8:
            raise BadCodes("these bytes are not codes of this bench (magic SCB1 missing)")
        (size,) = struct.unpack("<I", data[4:8])
        try:
            head = json.loads(data[8 : 8 + size])
            parts: list[Part] = []
            at = 8 + size
            for entry in head["parts"]:
                chunk = data[at : at + entry["bytes"]]
                if len(chunk) != entry["bytes"]:
                    raise BadCodes(f"code bytes are cut short in part '{entry['name']}'")
                at += entry["bytes"]
                parts.append(_read_part(entry, chunk))
            return cls(tuple(parts), int(head["n"]), int(head["sr"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadCodes(f"damaged code header: {error}") from error


_KINDS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    Tokens: lambda part: ("tokens", part.name, float(part.rate_hz), list(part.sizes)),
    Packets: lambda part: ("packets", part.name, float(part.rate_hz), part.frame_bits),
    Vector: lambda part: ("vector", part.name),
}


def _read_part(entry: dict, chunk: bytes) -> Part:
    if entry["type"] == "tokens":
        sizes = tuple(int(size) for size in entry["sizes"])
        widths = np.array([max(0, math.ceil(math.log2(size))) for size in sizes], np.int64)
        values = unpack_bits(chunk, np.tile(widths, entry["count"]))
        return Tokens(entry["name"], entry["rate_hz"], sizes, values.reshape(entry["count"], len(sizes)))
    if entry["type"] == "packets":
        lengths = entry.get("lengths") or [entry.get("each", 0)] * entry.get("count", 0)
        ends = np.cumsum([0, *lengths])
        payloads = tuple(chunk[a:b] for a, b in pairwise(ends))
        return Packets(entry["name"], entry["rate_hz"], payloads, entry["frame_bits"])
    if entry["type"] == "vector":
        return Vector(entry["name"], np.frombuffer(chunk, "<f2", entry["count"]))
    raise BadCodes(f"unknown part type '{entry['type']}'")
