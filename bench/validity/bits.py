"""Do the bits hold all that decoding needed? The same bytes are decoded again by a codec that never saw the original.

A codec may keep the wave, or part of it, in its objects and send next to nothing. Its own decoding then is better than its
bytes: another instance, best in another process, gives another wave or fails. Rounding differs between batches and
processors; what differs by more than 40 dB under the wave is no rounding (`bench.validity.alarms`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import audio
from bench.batches import out_of_memory
from bench.coding.codec import Codec, decode
from bench.coding.codes import Codes
from bench.errors import in_words, is_interrupt

EQUAL_DB = 120.0
"""What equal waves are given; 16 bit samples that differ in one place by one step stay below."""


def fresh_decode(load: Callable[[], Codec], sent: bytes, decoded: bytes) -> float | dict[str, str]:
    """Agreement in dB of the wave of record with what a fresh codec makes of the bytes that were sent.

    load: gives a codec that has seen nothing of the original. sent: `Codes.to_bytes` of the message. decoded: the wave of
    record, FLAC at the codec's rate. -> 10 log10 of the record's energy over the energy of the difference, both as 16 bit
    samples; 120 for equal waves; -120 to 120. A decoding that fails gives {"failure": kind, "detail": text}.
    Raises MemoryError, which is the machine's fault.
    """
    record, rate_hz = audio.from_flac(decoded)
    try:
        codec = load()
        length = round(len(record) * codec.sample_rate / rate_hz)
        [wave] = decode(codec, [Codes.from_bytes(sent)], [length])
        wave = np.pad(wave[: len(record)], (0, max(0, len(record) - len(wave))))
    except BaseException as error:
        if is_interrupt(error):
            raise
        if out_of_memory(error):
            raise MemoryError(in_words(error)) from None
        return {"failure": "fresh_decode", "detail": in_words(error)}
    return agreement_db(record, np.nan_to_num(wave))


def agreement_db(record: NDArray[Any], other: NDArray[Any]) -> float:
    """Energy of `record` [T] over that of its difference to `other` [T] as 16 bit samples, in dB within +-120."""
    a, b = (audio.to_pcm16(wave).astype(np.float64) for wave in (record, other))
    wanted, differs = float(a @ a), float(np.sum((a - b) ** 2))
    if differs == 0:
        return EQUAL_DB
    return float(np.clip(10 * np.log10(max(wanted, 1e-12) / differs), -EQUAL_DB, EQUAL_DB))
