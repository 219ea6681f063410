"""Outputs as something small to keep and to compare: waves and codes by checksums of short blocks, scores as numbers."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.metrics import MetricFailure, Ratio

BLOCK_S = 0.02
"""Seconds behind one checksum of a wave, or of frames faster than that: how exactly the first difference is told."""
TOLERANCE = 0.01
"""Share of a column's margin by which a score may differ."""
NO_MARGIN = 1e-6
"""What a score may differ by, relative to its size, where its column has no margin."""

Output = Mapping[str, Any]
Cases = dict[str, dict[str, Output]]
"""Case -> what came of it, by name."""


def of_wave(wave: np.ndarray, rate_hz: int) -> Output:
    """A wave [T]: its length, and one checksum for every BLOCK_S."""
    samples = np.ascontiguousarray(wave, "<f4")
    size = round(BLOCK_S * rate_hz)
    blocks = [samples[start : start + size].tobytes() for start in range(0, len(samples), size)]
    return {"kind": "wave", "length": len(samples), "unit_s": BLOCK_S, "frames": size, **_sums(blocks)}


def of_codes(codes: Codes) -> dict[str, Output]:
    """Part -> its frames, one checksum each, and the message's number of bytes."""
    found: dict[str, Output] = {"message": of_numbers({"bytes": len(codes.to_bytes())})}
    for part in codes.parts:
        if isinstance(part, Tokens):
            blocks = [row.astype("<i4").tobytes() for row in part.indices]
        elif isinstance(part, Packets):
            blocks = list(part.payloads)
        else:
            assert isinstance(part, Vector)
            blocks = [value.astype("<f2").tobytes() for value in part.values]
        rate = float(getattr(part, "rate_hz", 0.0))
        some = max(1, round(BLOCK_S * rate))
        joined = [b"".join(blocks[start : start + some]) for start in range(0, len(blocks), some)]
        found[f"codes '{part.name}'"] = {
            "kind": "codes", "length": len(blocks), "unit_s": some / rate if rate else 0.0, "frames": some, **_sums(joined)
        }  # fmt: skip
    return found


def of_numbers(values: Mapping[str, Any]) -> Output:
    """Numbers, texts and failures by name; arrays by their checksum."""
    return {"kind": "numbers", "values": {name: _plain(value) for name, value in values.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, MetricFailure):
        return {"failure": value.kind}
    if isinstance(value, Ratio):
        return [float(value.num), float(value.den)]
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return float(value)


def _sums(blocks: Sequence[bytes]) -> dict[str, str]:
    """The sha256 of everything, and 16 bits of every block, which tell where a difference begins."""
    sums = np.array([zlib.crc32(block) & 0xFFFF for block in blocks], "<u2")
    return {"sha256": hashlib.sha256(b"".join(blocks)).hexdigest(), "sums": base64.b64encode(sums.tobytes()).decode()}


def difference(was: Output, now: Output, margins: Mapping[str, float | None]) -> str | None:
    """The first difference between two outputs of one name, in words; None when they are equal."""
    if was["kind"] != now["kind"]:
        return f"was {was['kind']}, is {now['kind']}"
    if was["kind"] == "numbers":
        return _numbers(was["values"], now["values"], margins)
    before, after = (np.frombuffer(base64.b64decode(side["sums"]), "<u2") for side in (was, now))
    common = min(len(before), len(after))
    differ = np.flatnonzero(before[:common] != after[:common])
    if len(differ):
        first = int(differ[0])
        when = f" ({first * was['unit_s']:.3f} s)" if was["unit_s"] else ""
        what = "sample" if was["kind"] == "wave" else "frame"
        return f"differs from {what} {first * was['frames']}{when} on, in {len(differ)} of {common} places"
    if was["length"] != now["length"]:
        return f"had {was['length']} {'samples' if was['kind'] == 'wave' else 'frames'}, has {now['length']}"
    return None if was["sha256"] == now["sha256"] else "differs somewhere"


def _numbers(was: Mapping[str, Any], now: Mapping[str, Any], margins: Mapping[str, float | None]) -> str | None:
    for name in was:
        if name not in now:
            return f"'{name}' is gone"
        if not _near(was[name], now[name], margins.get(name)):
            return f"'{name}' was {was[name]!r}, is {now[name]!r}"
    return None


def _near(was: Any, now: Any, margin: float | None) -> bool:
    if isinstance(was, dict) and isinstance(now, dict):
        return all(name in now and _near(value, now[name], None) for name, value in was.items())
    if isinstance(was, list) and isinstance(now, list):
        return len(was) == len(now) and all(_near(a, b, None) for a, b in zip(was, now, strict=True))
    if isinstance(was, float) and isinstance(now, float | int):
        if np.isnan(was) and np.isnan(now):
            return True
        return bool(abs(was - now) <= (TOLERANCE * margin if margin else NO_MARGIN * max(1.0, abs(was))))
    return bool(was == now)


def joined(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """`was` with what is new in `now`; what was stays as it was recorded."""
    both = {name: value for name, value in now.items() if name not in was}
    for name, value in was.items():
        inner = isinstance(value, Mapping) and isinstance(now.get(name), Mapping)
        both[name] = joined(value, now[name]) if inner else value
    return both


def compare(
    was: Mapping[str, Mapping[str, Output]], now: Mapping[str, Mapping[str, Output]], margins: Mapping[str, float | None]
) -> str | None:
    """The first difference between two sets of outputs by case, naming the case; None when all that was still is.

    What is new (another codec of an adapter, another fact of a record) has nothing to be compared with.
    """
    for case in was:
        if case not in now:
            return f"case {case} is gone"
        for name in was[case]:
            if name not in now[case]:
                return f"case {case}: {name} is gone"
            told = difference(was[case][name], now[case][name], margins)
            if told:
                return f"case {case}: {name} {told}"
    return None
