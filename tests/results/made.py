"""Rows as the engine makes them, without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.results.merge import card_settings
from bench.results.schema import typed


def rows(
    codec: str = "opus@6", columns: Sequence[str] = ("stoi", "pesq_wb"), count: int = 4, value: float = 0.5, **more: Any
) -> pd.DataFrame:
    """Rows of one system: `count` utterances of two speakers, `value` plus a hundredth per utterance in every column."""
    fields = {
        "task": "resynthesis", "profile": "embedded", "dataset": "toy", "dataset_sha256": "aa", "audio_sha256": "bb",
        "partial": False, "synthetic": True, "condition": "clean", "codec": codec, "weights": "none",
        "weights_sha256": "none", "system_key": "key", "role": "resynthesis", "output": "", "against": "",
        "settings": card_settings(codec) or "{}",
        "device": "cpu", "device_kind": "cpu", "threads": 1, "language": "en", "seconds": 1.0,
        "metric_version": "1", "metric_key": "m", "commit": "c0ffee", "definitions": "{}", "code_version": "v",
        "packages": "{}", "seed": 0,
    }  # fmt: skip
    lines = [
        fields | {"utterance": f"u{n}", "speaker": f"s{n % 2}", "column": column, "metric": column.partition("_of_")[0],
                  "value": value + n / 100}
        for n in range(count) for column in columns
    ]  # fmt: skip
    return typed([line | more for line in lines])
