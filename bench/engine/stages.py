"""The stages' arithmetic: an utterance through a codec, a pair of signals through a metric. No store, no processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench import audio
from bench import codec as coding
from bench.codec import Codec
from bench.codes import Codes
from bench.entropy import coded_bits
from bench.metrics import Metric, MetricFailure, Ratio, Signal
from bench.speech import Utterance

DEFINITION = "producer:resynthesis"
VERSION = "1"


class Clock:
    """Seconds of computing: process CPU time on a CPU (unmoved by neighbours), synchronised wall time on CUDA."""

    def __init__(self, device: str) -> None:
        self._synchronise: Callable[[], None] = lambda: None
        self._now: Callable[[], float] = time.process_time
        if device.startswith("cuda"):
            import torch

            self._synchronise, self._now = torch.cuda.synchronize, time.perf_counter

    def time(self, work: Callable[[], Any]) -> tuple[Any, float]:
        self._synchronise()
        start = self._now()
        result = work()
        self._synchronise()
        return result, self._now() - start


def transcode(codec: Codec, utterances: Sequence[Utterance], clock: Clock) -> list[dict[str, Any]]:
    """Code utterances of one length bucket together. One record each: codes, decoded FLAC at the codec's rate, facts.

    The compute time of a batch is shared out by duration.
    """
    waves = [utterance.read(codec.sample_rate)[0] for utterance in utterances]
    codes, encode_s = clock.time(lambda: coding.encode(codec, waves))
    # What is decoded is what was sent: the bytes, not the objects that encoding left behind.
    sent = [item.to_bytes() for item in codes]
    received = [Codes.from_bytes(item) for item in sent]
    raw, decode_s = clock.time(lambda: codec.decode(received))
    total = sum(map(len, waves))
    records = []
    for wave, item, data, out in zip(waves, received, sent, raw, strict=True):
        share = len(wave) / total
        fitted = coding.fit(codec, out, len(wave))
        records.append(
            audio_record(fitted, codec.sample_rate, len(out) - codec.delay - len(wave))
            | {
                "codes": data,
                "codes_sha256": item.sha256,
                "encode_s": encode_s * share,
                "decode_s": decode_s * share,
                "bits_nominal": item.nominal_bits,
                "bits_packed": item.payload_bits,
                "bits_entropy": coded_bits(item),
                "batch": len(waves),
            }
        )
    return records


def published(decoded: np.ndarray, rate_hz: int, utterance: Utterance) -> dict[str, Any]:
    """The record of audio [T'] that somebody else decoded: codes unknown; a missing end is told, then padded."""
    if not utterance.aligned:
        return audio_record(decoded, rate_hz)
    length = len(utterance.read(rate_hz)[0])
    fitted = np.pad(decoded[:length], (0, max(0, length - len(decoded))))
    return audio_record(fitted, rate_hz, len(decoded) - length)


def audio_record(fitted: np.ndarray, rate_hz: int, surplus: int = 0) -> dict[str, Any]:
    """What is kept of audio [T]: FLAC and facts. `surplus`: samples beyond what was due (negative: short)."""
    finite = bool(np.isfinite(fitted).all())
    return {
        "decoded": audio.to_flac(np.nan_to_num(fitted), rate_hz),
        "wave_sha256": audio.sha256(fitted, rate_hz),
        "finite": finite,
        "rate_hz": rate_hz,
        "seconds": len(fitted) / rate_hz,
        "short_ms": 1000.0 * min(0, surplus) / rate_hz,
        "clipped": float(np.mean(np.abs(fitted) > 1.0)) if finite else 0.0,
    }


def decoded_wave(record: Mapping[str, Any], rate_hz: int, length: int | None) -> np.ndarray:
    """The decoded wave of a record at `rate_hz`, exactly `length` samples (None: its own length); MetricFailure when it
    was not finite."""
    if not record["finite"]:
        raise MetricFailure("not_finite", "the codec's output holds NaN or infinite samples")
    wave, rate = audio.from_flac(record["decoded"])
    wave = audio.resample(wave, rate, rate_hz)
    return wave if length is None else np.pad(wave[:length], (0, max(0, length - len(wave))))


def analyse(metric: Metric, signals: Sequence[Signal]) -> list[Mapping[str, Any] | MetricFailure]:
    """`metric.analyse` over signals; one that breaks it is isolated and fails alone."""
    assert metric.analyse is not None
    try:
        return list(metric.analyse(signals))
    except Exception as error:
        if len(signals) == 1:
            return [_as_failure(error)]
        return [analyse(metric, [signal])[0] for signal in signals]


def score(metric: Metric, reference: Signal, degraded: Signal) -> dict[str, Any]:
    """Column -> number, [num, den] or {"failure", "detail"}: a storable record with a word for every column."""
    try:
        values: Mapping[str, Any] = metric.score(reference, degraded)
    except Exception as error:
        failure = _as_failure(error)
        values = {column.name: failure for column in metric.columns}
    return {column.name: plain(values[column.name]) for column in metric.columns}


def plain(value: Any) -> Any:
    """A Value as JSON: float, [num, den] or a failure."""
    if isinstance(value, MetricFailure):
        return {"failure": value.kind, "detail": value.detail}
    if isinstance(value, Ratio):
        return [float(value.num), float(value.den)]
    number = float(value)
    return number if np.isfinite(number) else {"failure": "not_finite", "detail": f"the metric returned {number}"}


def _as_failure(error: Exception) -> MetricFailure:
    from bench.errors import BenchError

    if isinstance(error, MetricFailure):
        return error
    if isinstance(error, BenchError):
        raise error  # weights or packages missing: the user must act, no row is due
    return MetricFailure("error", f"{type(error).__name__}: {error}")
