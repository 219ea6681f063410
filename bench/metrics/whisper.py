"""Word and character error rates with Whisper, after the protocols of the FocalCodec and FreeCodec papers.

Definition. Texts pass Whisper's ENGLISH normaliser in every language, as the FocalCodec authors do; edits over words and
over characters (spaces included); corpus level: sum of edits / sum of reference words.
dwer_whisper_small, dcer_whisper_small: transcript of the degraded signal against the transcript of the REFERENCE SIGNAL;
openai/whisper-small, language given, no timestamps, greedy at temperature 0.
dwer_whisper_large, dcer_whisper_large: the same with openai/whisper-large (the first "large"), FreeCodec's recogniser.
Deviation, and why the columns can differ in the last digits from the printed ones: the authors run faster-whisper with its
default temperature fallback, which SAMPLES when a segment looks repetitive or unlikely; that is not repeatable, so here the
temperature stays 0. Audio over 30 s is read in windows of 30 s.
In voice conversion the FocalCodec reference is the parallel recording of the TARGET speaker: the task sets it.
Reference: Radford et al., 2023; FocalCodec (2025), section 4 and its public evaluation code; FreeCodec (2024), section 4.3.
Range: 0 upwards, lower is better; above 100 % is possible. Rate: 16 kHz. Level: nearly invariant. Length: may differ.
Failures: not_finite, empty, language (not one of Whisper's). Silence is transcribed like any signal. Without weights:
WeightsMissing. Every window has 30 s, so batches equal single runs up to rounding. Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from bench.fetch import sources
from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import Wave, analysis_of, check, check_rate, checked_batch, one_thread, value
from bench.metrics._text import char_errors, normalise, normaliser_files, word_errors

RATE_HZ = 16_000
WINDOW_S = 30
BATCH = 8
FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
)
SOURCES = {
    "small": sources.for_metric(name="whisper-small", files=FILES, repo="openai/whisper-small"),
    "large": sources.for_metric(name="whisper-large", files=FILES, repo="openai/whisper-large"),
}


class Recogniser:
    """Greedy Whisper from a folder in the hub's layout."""

    def __init__(self, folder: str) -> None:
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        self.network = WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True).eval()
        self.processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)

    def transcribe(self, waves: Sequence[NDArray[np.float32]], language: str) -> list[str]:
        """Texts of waves [T] each at 16 kHz, all in `language` (ISO 639-1)."""
        import torch

        size = WINDOW_S * RATE_HZ
        windows = [(i, wave[at : at + size]) for i, wave in enumerate(waves) for at in range(0, wave.size, size)]
        texts: list[list[str]] = [[] for _ in waves]
        with torch.inference_mode(), one_thread():
            for start in range(0, len(windows), BATCH):
                some = windows[start : start + BATCH]
                features = self.processor.feature_extractor(
                    [window for _, window in some], sampling_rate=RATE_HZ, return_tensors="pt"
                ).input_features
                tokens = self.network.generate(
                    features, language=language, task="transcribe", do_sample=False, num_beams=1, return_timestamps=False
                )
                found = self.processor.batch_decode(tokens, skip_special_tokens=True)
                for (index, _), text in zip(some, found, strict=True):
                    texts[index].append(text.strip())
        return [" ".join(parts) for parts in texts]


@cache
def _recogniser(size: str) -> Recogniser:
    return Recogniser(str(sources.locate(SOURCES[size]).folder))


def _checked(signal: Signal) -> Wave:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    if signal.language.split("-")[0] not in LANGUAGES:
        raise MetricFailure("language", f"Whisper does not know the language '{signal.language}'")
    return check(check_rate(signal, RATE_HZ).wave, rate_hz=RATE_HZ, silence=False)


def _analyse(signals: Sequence[Signal], size: str) -> list[Analysis | MetricFailure]:
    recogniser = _recogniser(size)
    out, places, waves = checked_batch(signals, _checked)
    languages = [signals[place].language.split("-")[0] for place in places]
    for language in sorted(set(languages)):
        members = [i for i, other in enumerate(languages) if other == language]
        for i, text in zip(members, recogniser.transcribe([waves[i] for i in members], language), strict=True):
            out[places[i]] = {"transcript": text}
    return out


def _score(ref: Signal, deg: Signal, size: str) -> dict[str, Value]:
    def text(signal: Signal) -> str:
        return normalise(str(analysis_of(signal, partial(_analyse, size=size))["transcript"]))

    return {
        f"dwer_whisper_{size}": value(lambda: word_errors(text(ref), text(deg))),
        f"dcer_whisper_{size}": value(lambda: char_errors(text(ref), text(deg))),
    }


def _metric(size: str) -> Metric:
    return Metric(
        name=f"whisper_{size}",
        columns=(
            Column(f"dwer_whisper_{size}", f"dWER (Whisper {size})", "%", "lower", 0.0, None, 0.0015, 2, 100.0),
            Column(f"dcer_whisper_{size}", f"dCER (Whisper {size})", "%", "lower", 0.0, None, 0.0015, 2, 100.0),
        ),
        score=partial(_score, size=size),
        analyse=partial(_analyse, size=size),
        weights=lambda: [*sources.locate(SOURCES[size]).paths, *normaliser_files()],
        packages=("transformers", "torch", "whisper-normalizer", "rapidfuzz"),
    )


METRICS = (_metric("small"), _metric("large"))
