"""Word and character error rates with Moonshine, an English recogniser that installs with pip.

Definition. Texts pass Whisper's English normaliser, mended in three places: typographic apostrophes are apostrophes, a token
without letter or digit is no word, and digits count one by one, spoken or written ("zero one", "01" and "0, 1" are equal).
Edits are substitutions + deletions + insertions.
dwer, dcer: transcript of the degraded signal against the transcript of the REFERENCE SIGNAL by the same recogniser
("differential": the recogniser's own errors on the original do not count). wer, cer: transcript of the degraded
signal against the true text. Rates are corpus level: sum of edits / sum of reference words (characters, spaces
included).
Reference: FocalCodec (2025), section 4 for dWER; Moonshine base, greedy (Jeffries et al., 2024; package
moonshine_cpp). It runs on the CPU, whatever the device of a run.
These columns are named apart from those of Whisper (dwer_whisper_small, ...): values of two recognisers do not
compare.
Range: 0 upwards (insertions can pass 100 %), lower is better. Rate: 16 kHz.
Level: nearly invariant. Length: lengths may differ; beyond 45 s a signal is read in windows of 20 to 30 s, cut where it is
quietest. Failures: language (not English), no_text (wer, cer: no text, or a text without a word), not_finite.
A silent degraded signal is transcribed as nothing and counts as deletions: that is what a listener gets.
Batches equal single runs. It runs on the CPU whatever the device: the encoder is a quantized graph of onnxruntime, and the
decoder's steps are too small for anything else. Version 2; version 1 had Whisper's normaliser as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.languages import primary
from bench.metrics import Analysis, Column, MetricFailure, Signal
from bench.metrics._common import Wave, check, check_rate, checked_batch
from bench.metrics._text import SPOKEN, normaliser_files
from bench.metrics.networks import moonshine
from bench.metrics.shapes import of_texts

RATE_HZ = 16_000


def _analyse(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    out, places, waves = checked_batch(signals, _checked)
    for place, text in zip(places, moonshine.transcribe(waves), strict=True):
        out[place] = {"transcript": text}
    return out


def _knows(language: str) -> bool:
    return primary(language) == "en"


def _checked(signal: Signal) -> Wave:
    if not _knows(signal.language):
        raise MetricFailure("language", f"Moonshine reads English only, the utterance is '{signal.language}'")
    return check(check_rate(signal, RATE_HZ).wave, rate_hz=RATE_HZ, silence=False)


METRIC = of_texts(
    "error_rates",
    (
        Column("dwer", "dWER (Moonshine)", "%", "lower", 0.0, None, 0.0015, 1, 100.0),
        Column("dcer", "dCER (Moonshine)", "%", "lower", 0.0, None, 0.0015, 1, 100.0),
    ),
    (
        Column("wer", "WER (Moonshine)", "%", "lower", 0.0, None, 0.0015, 1, 100.0),
        Column("cer", "CER (Moonshine)", "%", "lower", 0.0, None, 0.0015, 1, 100.0),
    ),
    rules=SPOKEN,
    analyse=_analyse,
    version="2",
    weights=lambda: [*moonshine.weights(), *normaliser_files()],
    packages=("moonshine-cpp", "whisper-normalizer", "rapidfuzz"),
    knows=_knows,
)
