"""Word and character error rates with Whisper, after the protocols of the FocalCodec and FreeCodec papers.

Definition. Texts pass Whisper's ENGLISH normaliser in every language, as the FocalCodec authors do; edits over words and
over characters (spaces included); corpus level: sum of edits / sum of reference words. Languages without spaces between
words (Chinese, Japanese, Thai, ...), which the papers do not have, count letters in both columns.
dwer_whisper_small, dcer_whisper_small: transcript of the degraded signal against the transcript of the REFERENCE SIGNAL;
openai/whisper-small, language given, no timestamps, greedy at temperature 0.
wer_whisper_small, cer_whisper_small: against the true text, as the best of several samples of synthesis is chosen.
dwer_whisper_large, ...: the same with openai/whisper-large (the first "large"), FreeCodec's recogniser.
Deviation, and why the columns can differ in the last digits from the printed ones: the authors run faster-whisper with its
default temperature fallback, which SAMPLES when a segment looks repetitive or unlikely; that is not repeatable, so here the
temperature stays 0. Audio over 30 s is read in windows of 30 s.
In voice conversion the FocalCodec reference is the parallel recording of the TARGET speaker: the task sets it.
Reference: Radford et al., 2023; FocalCodec (2025), section 4 and its public evaluation code; FreeCodec (2024), section 4.3.
Range: 0 upwards, lower is better; above 100 % is possible. Rate: 16 kHz. Level: nearly invariant. Length: may differ.
Failures: not_finite, empty, language (not one of Whisper's), no_text (wer, cer: no text, or a text without a word). Silence is
transcribed like any signal. Without weights: WeightsMissing. Every window is filled up to 30 s, so batches equal single runs up
to rounding. Version 2; version 1 counted a whole sentence as one word where a language has no spaces, and knew languages by
their ISO 639-1 codes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.fetch import sources
from bench.languages import primary
from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal
from bench.metrics._common import check, check_rate
from bench.metrics._text import normaliser_files
from bench.metrics.networks import Network
from bench.metrics.shapes import of_texts

RATE_HZ = 16_000
WINDOW = 30 * RATE_HZ
"""Samples that the network hears at a time."""
FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
)


_NAMES = {"jv": "jw", "nb": "no"}
"""Codes of languages that Whisper calls otherwise."""


def _language(language: str) -> str:
    code = primary(language)
    return _NAMES.get(code, code)


def _knows(language: str) -> bool:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return _language(language) in LANGUAGES


def _read(signal: Signal) -> Sequence[NDArray[np.float32]]:
    if not _knows(signal.language):
        raise MetricFailure("language", f"Whisper does not know the language '{signal.language}'")
    wave = check(check_rate(signal, RATE_HZ).wave, rate_hz=RATE_HZ, silence=False)
    return [wave[at : at + WINDOW] for at in range(0, wave.size, WINDOW)]


def _result(texts: Sequence[str]) -> Analysis:
    return {"transcript": " ".join(texts)}


def _network(size: str) -> Network:
    source = sources.for_metric(name=f"whisper-{size}", files=FILES, repo=f"openai/whisper-{size}")

    def load(device: str) -> Any:
        from bench.metrics.networks.whisper import Recogniser

        return Recogniser(str(sources.locate(source).folder), device)

    def drawn() -> Any:
        from bench.metrics.networks.whisper import SMALL, Drawn

        return Drawn(SMALL)

    # On a CPU the decoder waits for its weights: eight windows side by side cost little more than one.
    return Network(
        name=source.name,
        load=load,
        read=_read,
        run=lambda recogniser, batch: recogniser(batch),
        result=_result,
        weights=lambda: [*sources.locate(source).paths, *normaliser_files()],
        kind=lambda signal: _language(signal.language),
        row_s=lambda length: WINDOW / RATE_HZ,
        bytes_per_s=20e6,
        cpu_rows=8,
        cpu_alone=False,
        # The large one differs in its sizes alone, and twice its 6 GiB fit few machines.
        random=drawn if size == "small" else None,
    )


def _metric(size: str) -> Metric:
    label = f"Whisper {size}"
    return of_texts(
        f"whisper_{size}",
        (
            Column(f"dwer_whisper_{size}", f"dWER ({label})", "%", "lower", 0.0, None, 0.0015, 2, 100.0),
            Column(f"dcer_whisper_{size}", f"dCER ({label})", "%", "lower", 0.0, None, 0.0015, 2, 100.0),
        ),
        (
            Column(f"wer_whisper_{size}", f"WER ({label})", "%", "lower", 0.0, None, 0.0015, 2, 100.0),
            Column(f"cer_whisper_{size}", f"CER ({label})", "%", "lower", 0.0, None, 0.0015, 2, 100.0),
        ),
        network=NETWORKS[size],
        version="2",
        knows=_knows,
        packages=("transformers", "torch", "whisper-normalizer", "rapidfuzz"),
    )


NETWORKS = {size: _network(size) for size in ("small", "large")}
METRICS = (_metric("small"), _metric("large"))
