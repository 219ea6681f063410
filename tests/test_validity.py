"""Facts of a pair recover planted faults exactly; alarms catch every planted fault and leave honest codecs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

from bench import validity
from bench.metrics import MetricFailure
from bench.metrics.stoi import stoi
from bench.validity import pair_facts

RATE = 16000
EMBEDDED = Path(__file__).resolve().parent.parent / "bench" / "data" / "embedded"
Wave = NDArray[np.float32]


@pytest.fixture(scope="module")
def voices() -> dict[str, Wave]:
    """The second sentence of twelve voices: the same words for some, so that wrong pairs are as alike as they get."""
    found = sorted(EMBEDDED.glob("*/*_02.flac"))[:12]
    assert len(found) == 12
    return {path.stem: soundfile.read(path, dtype="float32")[0] for path in found}


@pytest.fixture(scope="module")
def wave(voices: dict[str, Wave]) -> Wave:
    return next(iter(voices.values()))


def _delayed(x: Wave, samples: int) -> Wave:
    return np.concatenate([np.zeros(samples, dtype=np.float32), x])[: len(x)]


def _mulaw(x: Wave, steps: int = 64) -> Wave:
    squeezed = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    level = np.round(squeezed * steps) / steps
    return (np.sign(level) * np.expm1(np.abs(level) * np.log(256)) / 255).astype(np.float32)


def _lowpass(x: Wave) -> Wave:
    return sosfilt(butter(6, 3400, fs=RATE, output="sos"), x).astype(np.float32)


def _noisy(x: Wave) -> Wave:
    noise = np.random.default_rng(0).standard_normal(len(x))
    return (x + noise * np.sqrt(np.mean(x**2) / 3)).astype(np.float32)  # 5 dB


def _vocoded(x: Wave) -> Wave:
    """Right spectrum, random phase: no waveform match left, as in parametric codecs."""
    size, hop = 512, 128
    window = np.hanning(size)
    phase = np.random.default_rng(1)
    out = np.zeros(len(x) + size)
    for start in range(0, len(x) - size, hop):
        frame = np.abs(np.fft.rfft(window * x[start : start + size]))
        turned = frame * np.exp(2j * np.pi * phase.random(len(frame)))
        out[start : start + size] += window * np.fft.irfft(turned)
    out *= np.sqrt(np.mean(x**2) / np.mean(out[: len(x)] ** 2))
    return out[: len(x)].astype(np.float32)


HONEST: dict[str, Callable[[Wave], Wave]] = {
    "mulaw": _mulaw,
    "telephone band": _lowpass,
    "5 dB noise": _noisy,
    "vocoder": _vocoded,
}


@pytest.mark.parametrize("samples", [0, 1, 37, 320, 4000])
@pytest.mark.parametrize("gain", [1.0, 0.5, -1.0, -0.25])
def test_delay_gain_and_polarity_are_recovered_exactly(wave: Wave, samples: int, gain: float) -> None:
    # silence around the speech, so that the shift cuts nothing off
    framed = np.pad(wave, 4000)
    facts = pair_facts(framed, _delayed(framed, samples) * np.float32(gain), RATE)
    assert facts["delay_ms"] == pytest.approx(samples / 16, abs=1e-9)
    assert facts["gain_db"] == pytest.approx(20 * np.log10(abs(gain)), abs=1e-4)
    assert facts["polarity"] == np.sign(gain)
    assert facts["length_diff"] == 0


def test_an_advance_is_a_negative_delay(wave: Wave) -> None:
    assert pair_facts(wave, wave[160:], RATE)["delay_ms"] == pytest.approx(-10)
    assert pair_facts(wave, wave[160:], RATE)["length_diff"] == -160


@pytest.mark.parametrize("samples", [0, 160, 320, 800])
def test_delay_is_found_without_waveform_match(wave: Wave, samples: int) -> None:
    facts = pair_facts(wave, _delayed(_vocoded(wave), samples), RATE)
    assert facts["correlation"] < 0.3 and np.isnan(facts["polarity"])
    assert facts["delay_ms"] == pytest.approx(samples / 16, abs=2.5)


@pytest.mark.parametrize("kind", HONEST)
def test_honest_degradations_follow_the_envelope(voices: dict[str, Wave], kind: str) -> None:
    for x in voices.values():
        facts = pair_facts(x, HONEST[kind](x), RATE)
        assert facts["envelope"] > (0.65 if kind == "5 dB noise" else 0.85)
        assert facts["rate_ratio"] == 1 and facts["lost_tail_s"] < 0.15


def test_wrong_pairs_do_not(voices: dict[str, Wave]) -> None:
    waves = list(voices.values())
    for x, y in zip(waves, waves[1:] + waves[:1], strict=True):
        assert pair_facts(x, np.resize(np.roll(y, len(y) // 2), len(x)), RATE)["envelope"] < 0.65


@pytest.mark.parametrize(("up", "down"), [(3, 2), (2, 3), (1, 2), (2, 1)])
def test_wrong_rate_is_measured(wave: Wave, up: int, down: int) -> None:
    assert pair_facts(wave, resample_poly(wave, up, down), RATE)["rate_ratio"] == pytest.approx(up / down)


def test_lost_end_is_measured_in_seconds(wave: Wave) -> None:
    spoken = np.flatnonzero(np.abs(wave) > 0.01)[-1]
    cut = wave.copy()
    cut[spoken - 8000 :] = 0
    assert pair_facts(wave, cut, RATE)["lost_tail_s"] == pytest.approx(0.5, abs=0.12)
    assert pair_facts(wave, wave, RATE)["lost_tail_s"] == 0


@pytest.mark.parametrize("length", [0, 1, 79, 160, 3000])
def test_degenerate_lengths_and_silence_do_not_raise(length: int) -> None:
    x = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    for ref, deg in (
        (x, x),
        (x, x[: length // 2]),
        (x, np.zeros_like(x)),
        (np.zeros_like(x), x),
        (x, np.zeros(0)),
        (x, np.full(length, np.nan)),
    ):
        facts = pair_facts(ref, deg, RATE)
        assert facts["length_diff"] == len(deg) - len(ref)
        assert not any(np.isinf(value) for value in facts.values())


def _rows(voices: dict[str, Wave], fault: Callable[[str, Wave], Wave], condition: str = "clean") -> pd.DataFrame:
    lines = []
    for name, x in voices.items():
        y = np.asarray(fault(name, x), dtype=np.float32)
        fitted = np.pad(y[: len(x)], (0, max(0, len(x) - len(y))))  # as the engine hands it to metrics
        values = pair_facts(x, fitted, RATE) | {"short_ms": 1000 * min(0, len(y) - len(x)) / RATE}
        for column, value in values.items():
            lines.append({"utterance": name, "column": column, "value": value})
        try:
            lines.append({"utterance": name, "column": "stoi", "value": stoi(x, fitted)})
        except MetricFailure as failure:
            lines.append({"utterance": name, "column": "stoi", "value": None, "failure": failure.kind})
        lines.append({"utterance": name, "column": "wave", "value": None, "detail": str(hash(y.tobytes()))})
    constant = {
        "task": "resynthesis",
        "condition": condition,
        "dataset": "embedded",
        "dataset_sha256": "ab",
        "codec": "codec@1",
        "weights": "none",
        "weights_sha256": "",
        "num": np.nan,
        "den": np.nan,
        "speaker": "s",
        "seconds": 3.0,
    }
    frame = pd.DataFrame(lines).assign(**constant)
    return frame if "failure" in frame else frame.assign(failure=None)


def _kinds(rows: pd.DataFrame) -> set[str]:
    return set(validity.marks(validity.alarms(rows), rows)["alarm"])


def _wrong_pair(voices: dict[str, Wave]) -> Callable[[str, Wave], Wave]:
    names = list(voices)
    return lambda name, x: np.resize(np.roll(voices[names[names.index(name) - 5]], 9000), len(x))


FAULTS: dict[str, tuple[Callable[[dict[str, Wave]], Callable[[str, Wave], Wave]], str]] = {
    "20 % truncated": (lambda v: lambda n, x: x[: int(0.8 * len(x))], "truncated"),
    "20 % zeroed": (lambda v: lambda n, x: np.where(np.arange(len(x)) < 0.8 * len(x), x, 0), "truncated"),
    "20 ms delay": (lambda v: lambda n, x: _delayed(x, 320), "delayed"),
    "20 ms delay of a vocoder": (lambda v: lambda n, x: _delayed(_vocoded(x), 320), "delayed"),
    "wrong pairing": (_wrong_pair, "unpaired"),
    "24 kHz read as 16": (lambda v: lambda n, x: resample_poly(x, 3, 2), "rate"),
    "16 kHz read as 24": (lambda v: lambda n, x: resample_poly(x, 2, 3), "rate"),
    "silent output": (lambda v: lambda n, x: np.zeros_like(x), "silent"),
    "nearly silent output": (lambda v: lambda n, x: x * 1e-4, "silent"),
    "inverted": (lambda v: lambda n, x: -x, "polarity"),
    "half the level": (lambda v: lambda n, x: 0.5 * x, "level"),
    "one output for all": (lambda v: lambda n, x: next(iter(v.values())), "identical"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(voices: dict[str, Wave], name: str) -> None:
    make, expected = FAULTS[name]
    rows = _rows(voices, make(voices))
    assert expected in _kinds(rows)
    found = validity.alarms(rows)
    hit = found[found["alarm"] == expected]
    # one utterance is paired with itself when all get the same output; the faults before concern every utterance
    assert hit["utterance"].nunique() >= (10 if expected in ("unpaired", "rate", "truncated") else 12)
    assert hit["mark"].nunique() == 1 and hit["meaning"].str.len().min() > 10


@pytest.mark.parametrize("kind", [None, *HONEST])
def test_honest_codecs_raise_no_alarm(voices: dict[str, Wave], kind: str | None) -> None:
    rows = _rows(voices, lambda name, x: HONEST[kind](x) if kind else x)
    assert _kinds(rows) == set()


def _scored(**columns: float | tuple[float, float]) -> pd.DataFrame:
    """One utterance; a pair of numbers is a ratio."""
    lines = []
    for name, value in columns.items():
        num, den = value if isinstance(value, tuple) else (None, None)
        lines.append({"column": name, "value": None if isinstance(value, tuple) else value, "num": num, "den": den})
    return pd.DataFrame(lines).assign(
        task="t",
        condition="clean",
        dataset="d",
        dataset_sha256="",
        codec="c@1",
        weights="none",
        weights_sha256="",
        utterance="u",
        speaker="s",
        seconds=1.0,
        failure=None,
        detail=None,
    )


@pytest.mark.parametrize(
    ("columns", "alarm"),
    [
        # a published row of a broken evaluation: intelligible and natural, yet it does not follow the original
        ({"stoi": 0.156, "pesq_wb": 1.06, "dwer_whisper_small": 0.0023, "utmos": 4.14}, "uncorrelated"),
        ({"pesq_wb": 1.06, "utmos": 4.14}, "floor"),
        ({"stoi": 0.3, "dwer": (1.0, 20.0)}, "uncorrelated"),
        ({"sim_resemblyzer": 0.45}, "impostor"),
        ({"sim_ecapa": 0.175}, "impostor"),
        ({"sim": 0.6}, "impostor"),
        ({"pesq_wb": 4.64, "stoi": 0.67}, "unaligned"),
    ],
)
def test_columns_that_cannot_both_be_true(columns: dict, alarm: str) -> None:
    assert alarm in set(validity.alarms(_scored(**columns))["alarm"])


@pytest.mark.parametrize(
    "columns",
    [
        {"stoi": 0.863, "pesq_wb": 1.416, "dwer": 0.0218, "utmos": 4.07, "sim_ecapa": 0.707},  # FocalCodec@50, published
        {"stoi": 0.3, "dwer": 0.9, "pesq_wb": 1.05, "utmos": 1.3},  # poor, and consistently so
        {"stoi": 1.0, "pesq_wb": 4.644, "dwer": 0.0, "sim_resemblyzer": 1.0, "utmos": 4.09},
    ],
)
def test_consistent_columns_raise_nothing(columns: dict) -> None:
    assert validity.alarms(_scored(**columns)).empty


def test_same_codes_for_different_utterances() -> None:
    one = _scored(stoi=0.9).assign(column="codes", detail="abcdef0123456789")
    both = pd.concat([one, one.assign(utterance="v")], ignore_index=True)
    found = validity.alarms(both)
    assert list(found["alarm"]) == ["identical", "identical"] and "same codes as v" in found["detail"].iloc[0]
    assert validity.alarms(pd.concat([one, one.assign(utterance="v", detail="other")])).empty


def test_marks_need_a_share_of_the_utterances() -> None:
    quiet = [_scored(gain_db=-0.1).assign(utterance=f"u{i}") for i in range(30)]
    loud = _scored(gain_db=-6.0).assign(utterance="loud")
    rows = pd.concat([*quiet, loud], ignore_index=True)
    assert len(validity.alarms(rows)) == 1
    assert validity.marks(validity.alarms(rows), rows).empty
    assert validity.alarms(rows.iloc[:0]).empty
