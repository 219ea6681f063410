"""Voice activity by WebRTC's detector on 30 ms frames at 16 kHz; both metrics that need it share this file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
FRAME = 480


def flags(pcm: NDArray[np.int16], mode: int) -> NDArray[np.bool_]:
    """One flag per whole 30 ms frame of `pcm` int16 [T]; mode 0 (permissive) to 3 (strict). Stateful along time."""
    import webrtcvad

    detector = webrtcvad.Vad(mode)
    data = pcm.tobytes()
    size = 2 * FRAME
    whole = range(0, len(data) - size + 1, size)
    return np.array([detector.is_speech(data[start : start + size], RATE_HZ) for start in whole], bool)


def keep(wave: NDArray[Any], speech: NDArray[np.bool_]) -> NDArray[Any]:
    """The samples of `wave` [T] whose 30 ms frame is flagged; samples beyond the last flag are dropped."""
    mask = np.repeat(speech, FRAME)[: wave.size]
    return wave[: mask.size][mask]
