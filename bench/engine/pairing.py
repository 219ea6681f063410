"""Which samples of an original and of a made wave are compared: at one rate, under the protocol's rule of lengths.

When a wave ends before its original, the rule of the profile holds. zeros: filled with zeros (this bench). replicate:
filled with its own last sample (FocalCodec). cut: both signals cut to the shorter (FreeCodec). as decoded: left as it is,
for metrics that align by themselves (FunCodec's ViSQOL). A wave that is too long is cut to the original's length in
every rule.
"""

from __future__ import annotations

import numpy as np

from bench.engine.records import Record, decoded_wave
from bench.errors import UnknownName
from bench.speech import Utterance

DEFINITION = "lengths"
VERSION = "1"
ZEROS, REPLICATE, CUT, AS_DECODED = "zeros", "replicate", "cut", "as decoded"
RULES = (ZEROS, REPLICATE, CUT, AS_DECODED)


def check(rule: str) -> str:
    """`rule`, or UnknownName with the nearest ones."""
    if rule not in RULES:
        raise UnknownName("length rule", rule, RULES)
    return rule


def pair(wave: np.ndarray, record: Record, rate_hz: int, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """(original [T], decoded) at `rate_hz` under `rule`; lengths are equal unless the rule says otherwise."""
    decoded = decoded_wave(record, rate_hz, len(wave))
    missing = min(len(wave) - 1, round(-record["short_ms"] * rate_hz / 1000))
    if missing <= 0 or rule == ZEROS:
        return wave, decoded
    there = decoded[: len(decoded) - missing]
    if rule == REPLICATE:
        return wave, np.pad(there, (0, missing), mode="edge")
    return (wave[: len(there)] if rule == CUT else wave), there


class Waves:
    """Originals and made waves of one job, each made once per rate for all metrics."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._whole: dict[tuple[str, str, int], np.ndarray] = {}
        self._pairs: dict[tuple[str, str, str, int], tuple[np.ndarray, np.ndarray]] = {}

    def original(self, u: Utterance, against: str, rate_hz: int) -> np.ndarray:
        """The whole recording `against` that scores of `u` refer to, [T] at `rate_hz`. Raises BenchError."""
        key = u.id, against, rate_hz
        if key not in self._whole:
            self._whole[key] = u.read_reference(rate_hz, against)[0]
        return self._whole[key]

    def pair(self, u: Utterance, against: str, output: str, record: Record, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
        """The original and the made wave as the rule cuts them. Raises MetricFailure and BenchError."""
        key = u.id, against, output, rate_hz
        if key not in self._pairs:
            whole = self.original(u, against, rate_hz)
            if u.aligned:
                self._pairs[key] = pair(whole, record, rate_hz, self._rule)
            else:
                self._pairs[key] = whole, decoded_wave(record, rate_hz, None)
        return self._pairs[key]
