"""Rows of real speech through a small codec with a knob, scored by the project's own cheap metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from bench.metrics import Column
from bench.metrics.si_sdr import si_sdr
from bench.metrics.stoi import both
from bench.validity import pair_facts

RATE = 16000
EMBEDDED = Path(__file__).resolve().parents[2] / "bench" / "data" / "embedded"
Wave = NDArray[np.float32]
Decode = Callable[[Wave], Wave]

COLUMNS = {
    column.name: column
    for column in (
        Column("stoi", "STOI", "", "higher", 0, 1, 0.002, 3),
        Column("estoi", "ESTOI", "", "higher", 0, 1, 0.004, 3),
        Column("si_sdr", "SI-SDR", "dB", "higher", None, None, 0.1, 1),
        Column("dwer", "dWER", "%", "lower", 0, None, 0.0015, 1, 100.0),
    )
}


def mulaw(steps: int) -> Decode:
    """Mu-law with 2 * steps + 1 levels."""

    def decode(x: Wave) -> Wave:
        squeezed = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
        level = np.round(squeezed * steps) / steps
        return (np.sign(level) * np.expm1(np.abs(level) * np.log(256)) / 255).astype(np.float32)

    return decode


def score(
    utterances: Mapping[str, Wave],
    codec: str,
    decode: Decode,
    kbps: float | None = None,
    weights: str = "none",
    version: str = "1",
) -> pd.DataFrame:
    """Long rows as the engine writes them: facts, scores, bits and a hash of what was sent."""
    lines: list[dict] = []
    for name, x in utterances.items():
        y = decode(x)
        fitted = np.pad(y[: len(x)], (0, max(0, len(x) - len(y))))
        facts = pair_facts(x, fitted, RATE)
        words = round(len(x) / RATE * 3)
        stoi, estoi = both(x, fitted)
        wrong = float(np.floor(words * max(0.0, 1 - stoi) * 3))
        values = {
            **facts,
            "short_ms": 1000 * min(0, len(y) - len(x)) / RATE,
            "stoi": stoi,
            "estoi": estoi,
            "si_sdr": si_sdr(x, fitted),
        }
        seconds = len(x) / RATE
        ratios = {"dwer": (wrong, words), "rtf_encode": (0.01 * seconds, seconds), "rtf_decode": (0.02, seconds)}
        if kbps is not None:
            ratios |= {
                f"bitrate_{kind}": (kbps * share * seconds, seconds)
                for kind, share in (("nominal", 1.0), ("packed", 1.02), ("entropy", 0.9))
            }
        row = {"utterance": name, "speaker": name.rsplit("_", 1)[0], "seconds": seconds}
        for column, value in values.items():
            known = np.isfinite(value)
            lines.append(row | {"column": column, "value": value if known else None, "failure": None if known else "undefined"})
        lines += [row | {"column": c, "value": n / d, "num": n, "den": d} for c, (n, d) in ratios.items()]
        sent = hashlib.sha256(np.asarray(y).tobytes()).hexdigest()
        lines.append(row | {"column": "codes", "detail": sent})
    frame = pd.DataFrame(lines, columns=["utterance", "speaker", "seconds", "column", "value", "num", "den", "failure", "detail"])
    frame = frame.assign(
        task="resynthesis",
        profile="embedded",
        condition="clean",
        dataset="embedded",
        dataset_sha256="1a2b3c4d5e6f",
        partial=False,
        synthetic=True,
        codec=codec,
        weights=weights,
        weights_sha256="" if weights == "none" else "ab" * 32,
        language="en",
        metric=frame["column"],
        metric_version="1",
        code_version=version,
        settings="{}",
        packages="{}",
        device="cpu",
        threads=1,
    )
    for name in ("column", "codec", "weights", "utterance", "failure", "detail", "task"):  # as read back from Parquet
        frame[name] = frame[name].astype("string").astype("category")
    return frame


@pytest.fixture(scope="session")
def columns() -> dict[str, Column]:
    return COLUMNS


@pytest.fixture(scope="session")
def utterances() -> dict[str, Wave]:
    """Three sentences of each of twelve voices."""
    out: dict[str, Wave] = {}
    for folder in sorted(path for path in EMBEDDED.iterdir() if path.is_dir() and path.name[1:2] in "fm")[:12]:
        for path in sorted(folder.glob("*.flac"))[:3]:
            out[path.stem] = soundfile.read(path, dtype="float32")[0]
    assert len(out) == 36
    return out


@pytest.fixture(scope="session")
def baseline(utterances: dict[str, Wave]) -> pd.DataFrame:
    """identity, two points of mu-law, and one point under two kinds of weights."""
    return pd.concat(
        [
            score(utterances, "identity@pcm", lambda x: x),
            score(utterances, "mulaw@8", mulaw(127), 128.0),
            score(utterances, "mulaw@5", mulaw(15), 80.0),
            score(utterances, "neural@1", mulaw(12), 0.9, "nano"),
            score(utterances, "neural@1", mulaw(6), 0.9, "random"),
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="session")
def rescore(utterances: dict[str, Wave], baseline: pd.DataFrame) -> Callable[..., pd.DataFrame]:
    """The baseline with mulaw@5 run again through another decoder."""

    def run(decode: Decode, **more: object) -> pd.DataFrame:
        rest = baseline[baseline["codec"] != "mulaw@5"]
        return pd.concat([rest, score(utterances, "mulaw@5", decode, 80.0, **more)], ignore_index=True)

    return run
