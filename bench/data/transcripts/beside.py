"""Texts in files of their own beside the audio: u1.txt, u1.lab, u1.normalized.txt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.data.transcripts.reading import text_of

ENDINGS = (".normalized.txt", ".txt", ".lab", ".original.txt")
_TIMES = re.compile(r"\s*\d+(\.\d+)?\s+\d+(\.\d+)?\b")


def fill(rows: dict[Path, dict[str, str]], audio: Sequence[Path], others: Sequence[Path]) -> set[Path]:
    """Give every file of `audio` that has no text yet the one beside it; -> the files that were read. Raises BenchError."""
    there, used = set(others), set[Path]()
    for path in audio:
        if rows.get(path, {}).get("text"):
            continue
        for ending in ENDINGS:
            place = path.with_name(path.stem + ending)
            if place not in there:
                continue
            lines = [line.strip() for line in text_of(place).split("\n") if line.strip()]
            if lines and all(_TIMES.match(line) for line in lines):
                continue  # an alignment: start, end and label of each phone
            used.add(place)
            if lines:
                rows.setdefault(path, {})["text"] = " ".join(lines)
                break
    return used
