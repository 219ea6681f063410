"""What is done when a decoded wave ends before its original: a rule of the protocol, named in the profile.

zeros: filled with zeros (this bench). replicate: filled with its own last sample (FocalCodec). cut: both signals cut to the
shorter (FreeCodec). as decoded: left as it is, for metrics that align by themselves (FunCodec's ViSQOL). A wave that is
too long is cut to the original's length in every rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.engine import stages
from bench.errors import UnknownName

DEFINITION = "lengths"
VERSION = "1"
ZEROS, REPLICATE, CUT, AS_DECODED = "zeros", "replicate", "cut", "as decoded"
RULES = (ZEROS, REPLICATE, CUT, AS_DECODED)


def check(rule: str) -> str:
    """`rule`, or UnknownName with the nearest ones."""
    if rule not in RULES:
        raise UnknownName("length rule", rule, RULES)
    return rule


def pair(wave: np.ndarray, record: Mapping[str, Any], rate_hz: int, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """(original [T], decoded) at `rate_hz` under `rule`; lengths are equal unless the rule says otherwise."""
    decoded = stages.decoded_wave(record, rate_hz, len(wave))
    missing = min(len(wave) - 1, round(-record["short_ms"] * rate_hz / 1000))
    if missing <= 0 or rule == ZEROS:
        return wave, decoded
    there = decoded[: len(decoded) - missing]
    if rule == REPLICATE:
        return wave, np.pad(there, (0, missing), mode="edge")
    return (wave[: len(there)] if rule == CUT else wave), there
