"""Speech and synthetic signals for the metric tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def clip(shared: Path) -> Callable[[str], np.ndarray]:
    """Reads a clip of the metric fixtures by name: float32 [T] at 16 kHz."""

    @cache
    def read(name: str) -> np.ndarray:
        wave, rate = soundfile.read(shared / "fixtures" / "metrics" / "wav" / f"{name}.wav", dtype="float32")
        assert rate == 16_000
        return np.asarray(wave)

    return read


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], Any]:
    """Reads expected_<name>.json of the metric fixtures."""
    return lambda name: json.loads((shared / "fixtures" / "metrics" / f"expected_{name}.json").read_text())


@pytest.fixture(scope="session")
def voice() -> np.ndarray:
    """Two seconds of a synthetic voice with pauses, float32 at 16 kHz: harmonics of a gliding F0 under two formants."""
    rate, rng = 16_000, np.random.default_rng(3)
    t = np.arange(2 * rate) / rate
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    wave = sum(np.sin(k * phase) * np.exp(-(((k * 130 - 600) / 900) ** 2)) for k in range(1, 30))
    syllables = np.clip(np.sin(2 * np.pi * 3 * t) + 0.4, 0.0, 1.0)
    noise = rng.normal(0, 1e-3, t.size)
    return (0.1 * np.asarray(wave) * syllables + noise).astype(np.float32)
