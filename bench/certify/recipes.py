"""What is recomputed of a definition: case -> outputs. A definition without a recipe cannot be shown equal."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import adapters, audio, cards, metrics
from bench.adapters.published import Published
from bench.cards import Point
from bench.certify import cases, trainings
from bench.certify.outputs import Cases, Output, of_codes, of_numbers, of_wave
from bench.coding import codec as coding
from bench.coding.codec import Codec
from bench.coding.codes import Codes, Tokens
from bench.data.noise import MADE, Mixture
from bench.definitions import ADAPTER, METRIC, Definition
from bench.errors import BenchError, WeightsMissing
from bench.fetch import weights
from bench.metrics import MetricFailure, Signal
from bench.speech import Utterance


class NotHere(Exception):
    """A definition that cannot be recomputed on this machine; says why."""


def outputs(definition: Definition) -> Cases:
    """Everything that is recomputed of `definition`. Raises NotHere."""
    if definition.id.startswith(ADAPTER):
        return _of_adapter(definition.id.removeprefix(ADAPTER))
    if definition.id.startswith(METRIC):
        return _of_metric(definition.id.removeprefix(METRIC))
    if definition.id not in RECIPES:
        raise NotHere("there is nothing to recompute it with")
    return RECIPES[definition.id]()


def margins() -> dict[str, float | None]:
    """Column -> margin."""
    return {name: column.margin for name, column in metrics.columns().items()}


def codecs(adapter: str) -> Iterator[tuple[Point, str, tuple[str, ...]]]:
    """Operating points of an adapter with the weights to try them with, and the cases: all, or few for random weights."""
    families: set[str] = set()
    for point in cards.all_points():
        if point.adapter != adapter:
            continue
        kinds = [kind for kind in ("nano", "official") if kind in point.weights and weights.available(point, kind)]
        if not point.needs_weights or kinds:
            yield point, kinds[0] if kinds else "none", tuple(cases.waves())
        elif point.family not in families and adapter != "lyra":
            # The others of a family differ in the number of codebooks only.
            families.add(point.family)
            yield point, "random", cases.FEW


def _of_adapter(name: str) -> Cases:
    if name == "published":
        return _published()
    found: Cases = {}
    for point, kind, wanted in codecs(name):
        try:
            codec = adapters.load(point, weights.resolve(point, kind))
        except BenchError:
            continue  # a program or package that it needs is not on this machine
        for case in wanted:
            found[f"{case}, {point.name} [{kind}]"] = through(codec, cases.at(case, codec.sample_rate))
    if not found:
        raise NotHere("what its codecs need (weights, a program) is not on this machine")
    return found


def through(codec: Codec, wave: np.ndarray) -> dict[str, Output]:
    """A wave [T] through a codec by way of the bytes: codes and decoded wave, or the kind of error."""
    try:
        [codes] = coding.encode(codec, [wave])
        received = Codes.from_bytes(codes.to_bytes())
        [decoded] = coding.decode(codec, [received], [len(wave)])
    except Exception as error:
        return {"error": of_numbers({"kind": type(error).__name__})}
    return {**of_codes(received), "decoded wave": of_wave(decoded, codec.output_rate)}


def _published() -> Cases:
    codec = Published(cases.FOLDER, 16_000)
    decoded = {case: codec.decoded_for(case) for case in cases.waves()}
    return {case: {"decoded wave": of_wave(wave, codec.sample_rate)} for case, wave in decoded.items()}


def _of_metric(name: str) -> Cases:
    metric = metrics.find(name)
    try:
        metric.weights()
        return _pairs(metric)
    except WeightsMissing as error:
        raise NotHere("its weights are not on this machine") from error


def _pairs(metric: metrics.Metric) -> Cases:
    found: Cases = {}
    for case in cases.waves():
        text = cases.TEXT if case == "speech" else None
        sides = [
            Signal(make(case, metric.rate_hz), metric.rate_hz, text) for make in (cases.at, cases.degraded)
        ]  # fmt: skip
        for label, (reference, degraded) in {"": (sides[0], sides[1]), " against itself": (sides[0], sides[0])}.items():
            found[case + label] = {"scores": of_numbers(scores(metric, reference, degraded))}
    return found


def scores(metric: metrics.Metric, reference: Signal, degraded: Signal) -> Mapping[str, Any]:
    """Column -> value of a pair, analysed before."""
    if metric.analyse is not None:
        analysed = metric.analyse([reference, degraded])
        broken = next((one for one in analysed if isinstance(one, MetricFailure)), None)
        if broken is not None:
            return {column.name: broken for column in metric.columns}
        found = [one for one in analysed if not isinstance(one, MetricFailure)]
        reference, degraded = (replace(side, analysis=one) for side, one in zip((reference, degraded), found, strict=True))
    try:
        return metric.score(reference, degraded)
    except MetricFailure as failure:
        return {column.name: failure for column in metric.columns}


def _audio() -> Cases:
    found: Cases = {}
    for case, (wave, rate) in cases.waves().items():
        found[case] = {"read": of_wave(wave, rate)}
        for other in (8_000, 16_000, 24_000, 44_100, 48_000):
            found[case][f"at {other} Hz"] = of_wave(audio.resample(wave, rate, other), other)
        back, _ = audio.from_flac(audio.to_flac(1.5 * wave, rate))
        found[case]["by way of FLAC"] = of_wave(back, rate)
    with tempfile.TemporaryDirectory() as folder:
        import soundfile

        stereo = np.stack([cases.at("speech", 16_000), cases.degraded("speech", 16_000)], axis=1)
        soundfile.write(Path(folder) / "two.wav", stereo, 16_000, subtype="FLOAT")
        found["two channels"] = {"read": of_wave(*audio.read(Path(folder) / "two.wav"))}
    return found


def _mixing() -> Cases:
    files = tuple(cases.FOLDER / f"{name}.flac" for name in ("two_voices", "noisy", "rate_24k"))
    found: Cases = {}
    for kind in (*MADE, "recording"):
        for case in ("speech", "short", "silent_start", "clipped"):
            mixture = Mixture(case, kind, 4.0, 0, files if kind in ("babble", "recording") else ())
            found[f"{case}, {kind}"] = {"mixture": of_wave(mixture(cases.at(case, 16_000), 16_000), 16_000)}
    return found


def _lengths() -> Cases:
    from bench.engine import pairing

    found: Cases = {}
    for rule in pairing.RULES:
        for case, short_ms in (("speech", 0.0), ("speech", -130.0), ("speech", -9000.0), ("short", -7.0)):
            wave = cases.at(case, 16_000)
            record = _record(cases.degraded(case, 24_000), 24_000, short_ms)
            sides = pairing.pair(wave, record, 16_000, rule)
            found[f"{case}, {-short_ms:g} ms short, {rule}"] = {
                name: of_wave(side, 16_000) for name, side in zip(("original", "decoded"), sides, strict=True)
            }
    return found


def _record(wave: np.ndarray, rate_hz: int, short_ms: float) -> dict[str, Any]:
    from bench.engine.records import audio_record

    return audio_record(wave, rate_hz, round(short_ms * rate_hz / 1000))


def _usage() -> Cases:
    from bench.coding.entropy import coded_bits
    from bench.coding.usage import Usage

    rng = np.random.default_rng(0)
    found: Cases = {}
    for sizes in ((16,), (1024, 8), (3, 5, 7)):
        usage = Usage()
        for frames in (40, 1, 0):
            indices = rng.integers(0, np.array(sizes), (frames, len(sizes)))
            codes = Codes((Tokens("tokens", 50, sizes, indices),), 320 * frames, 16_000)
            usage.add(codes)
            found[f"{frames} frames of {sizes}"] = {
                "rates": of_numbers({"nominal": codes.nominal_bits, "packed": codes.payload_bits, "coded": coded_bits(codes)})
            }
        found[f"usage of {sizes}"] = {"summary": of_numbers(usage.summary())}
    return found


def _resynthesis() -> Cases:
    from bench.engine.clock import Clock
    from bench.engine.producers.resynthesis import transcode

    found: Cases = {}
    for name in ("identity", "mulaw", "codec2@1200", "opus@6"):
        codec = adapters.load(cards.resolve(name), weights.Weights("none"))
        for case in cases.waves():
            try:
                [record] = transcode(codec, [cases.at(case, codec.sample_rate)], Clock("cpu"))
            except Exception as error:
                found[f"{case}, {name}"] = {"error": of_numbers({"kind": type(error).__name__})}
                continue
            found[f"{case}, {name}"] = _of_record(record)
    return found


def _published_audio() -> Cases:
    from bench.engine.clock import Clock
    from bench.engine.producers.published import PublishedAudio

    producer = PublishedAudio(folder=str(cases.FOLDER), sample_rate=16_000)
    codec = Published(cases.FOLDER, producer.sample_rate)
    found: Cases = {}
    for case, other in (("speech", "noisy"), ("noisy", "speech"), ("short", "short")):
        for aligned in (True, False):
            path = cases.FOLDER / f"{case}.flac"
            utterance = Utterance(case, path, "s", aligned=aligned, extra={"output": other})
            [made] = producer.make([utterance], codec, Clock("cpu"))
            found[f"{other} for {case}, {'aligned' if aligned else 'whole'}"] = _of_record(made[""])
    return found


def _of_record(record: Mapping[str, Any]) -> dict[str, Output]:
    wave, rate = audio.from_flac(record["decoded"])
    timed = ("encode_s", "decode_s", "convert_s")
    facts = {name: value for name, value in record.items() if not isinstance(value, bytes) and name not in timed}
    return {"wave": of_wave(wave, rate), "facts": of_numbers(facts)}


def _conversion() -> Cases:
    from bench.engine.producers import conversion

    found: Cases = {}
    said, voice = cases.at("speech", 16_000), cases.at("two_voices", 16_000)
    for name in ("freqcodec@2", "freecodec@v3"):
        codec = adapters.load(cards.resolve(name), weights.resolve(cards.resolve(name), "nano"))
        wave, method = conversion.convert(codec, said, [voice, cases.at("noisy", 16_000)])
        found[f"speech in another voice, {name} [nano]"] = {
            "wave": of_wave(wave, codec.sample_rate), "method": of_numbers({"method": method})
        }  # fmt: skip
    rng = np.random.default_rng(0)
    for frames, others in ((40, 17), (17, 40), (5, 5)):
        both = [
            Codes((Tokens("tokens", 50, (64, 64, 8), rng.integers(0, (64, 64, 8), (n, 3))),), 320 * n, 16_000)
            for n in (frames, others)
        ]
        found[f"{frames} frames with {others} of another voice"] = of_codes(conversion.swap(*both))
    return found


def _two_voices() -> Cases:
    from bench.data.two_voices import TwoVoices

    other = cases.FOLDER / "noisy.flac"
    return {
        f"{case}, {ratio:g} dB": {"mixture": of_wave(TwoVoices(case, other, ratio)(cases.at(case, 16_000), 16_000), 16_000)}
        for case in cases.waves()
        for ratio in (-5.0, 0.0, 5.0)
    }


RECIPES: Mapping[str, Callable[[], Cases]] = {
    "audio": _audio,
    "mixing": _mixing,
    "lengths": _lengths,
    "usage": _usage,
    "producer:resynthesis": _resynthesis,
    "producer:conversion": _conversion,
    "producer:published": _published_audio,
    "probe": trainings.probe,
    "probe-inputs": trainings.probe_inputs,
    "restoration": trainings.restoration,
    "two-voices": _two_voices,
    "synthesis": trainings.synthesis,
}
"""Definition -> how it is recomputed; adapters and metrics are recomputed by what their cards and columns say."""
