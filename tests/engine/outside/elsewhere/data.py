"""Chirps: four tones that rise, of two speakers that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench import audio
from bench.speech import Dataset, Utterance


def load(source: Any, **options: Any) -> Dataset:
    """The set at source.path, where it is made first if it is not there."""
    folder = Path(source.path or "chirps")
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(4):
        path = folder / f"chirp{number}.wav"
        if not path.is_file():
            time = np.arange(16000) / 16000
            audio.write(path, (0.5 * np.sin(2 * np.pi * (200 + 100 * number + 300 * time) * time)).astype(np.float32), 16000)
        found.append(Utterance(path.stem, path, f"s{number % 2}"))
    return Dataset("chirps", tuple(found), licence="CC0-1.0", synthetic=True)
