"""The one table of columns: what stands in rows besides the metrics' scores, and every column by its name.

A column's role says what it is for: a score ranks systems, a fact is told beside the scores, a trace is read by checks
and alarms and shown in no table. Metrics bring their own columns; what no metric yields (bits, times, oddities of waves,
probes) stands here. A package of its own brings further ones by the entry point group `bench.columns`: its value names
an iterable of Column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points

from bench import metrics
from bench.errors import BenchError
from bench.metrics import Column


def _named(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


CODING: Mapping[str, Column] = _named(
    Column("bitrate_nominal", "nominal", "kbps", "lower", 0.0, margin=0.0, decimals=3, role="fact"),
    Column("bitrate_packed", "packed", "kbps", "lower", 0.0, margin=0.0, decimals=3, role="fact"),
    Column("bitrate_entropy", "entropy-coded", "kbps", "lower", 0.0, margin=0.0, decimals=3, role="fact"),
    Column("rtf_encode", "RTF encode", "s/s", "lower", 0.0, decimals=3, role="fact"),
    Column("rtf_decode", "RTF decode", "s/s", "lower", 0.0, decimals=3, role="fact"),
    Column("rtf_convert", "RTF convert", "s/s", "lower", 0.0, decimals=3, role="fact"),
    Column("codes", "codes", "", "neither", role="trace"),
    Column("wave", "decoded wave", "", "neither", role="trace"),
    Column("clipped", "clipped", "share", "lower", 0.0, 1.0, decimals=4, role="fact"),
    Column("short_ms", "missing end", "ms", "neither", decimals=1, role="fact"),
)
"""What coding itself measures of an utterance: bits of the real codes in kbit per second of audio, compute seconds per
second of audio, hashes of codes and wave, the share of samples beyond full scale, the output's missing end."""

USAGE: Mapping[str, Column] = _named(
    Column("code_usage", "code usage", "%", "higher", 0.0, 100.0, decimals=1, role="fact"),
    Column("norm_entropy", "entropy of used codes", "%", "higher", 0.0, 100.0, decimals=1, role="fact"),
    Column("norm_entropy_all", "entropy of all codes", "%", "higher", 0.0, 100.0, decimals=1, role="fact"),
)
"""Code usage and entropies of a set, not of an utterance: one row each, every codebook's own figures (JSON) in `detail`.
Definitions: bench.coding.usage."""

ODD: Mapping[str, Column] = _named(
    Column("original_channels", "channels averaged", "", "neither", decimals=0, role="trace"),
    Column("original_peak", "original's peak", "full scale", "neither", decimals=2, role="trace"),
    Column("original_dbfs", "original's level", "dBFS", "neither", decimals=1, role="trace"),
    Column("original_offset", "original's offset", "full scale", "neither", decimals=4, role="trace"),
    Column("original_wraps", "original's overflows", "", "neither", decimals=0, role="trace"),
    Column("decoded_peak", "decoded peak", "full scale", "neither", decimals=2, role="trace"),
    Column("decoded_offset", "decoded offset", "full scale", "neither", decimals=4, role="trace"),
    Column("decoded_wraps", "decoded overflows", "", "neither", decimals=0, role="trace"),
    Column("excess_ms", "excess at the end", "ms", "neither", decimals=1, role="trace"),
    Column("fresh_db", "agreement of a fresh decode", "dB", "neither", decimals=1, role="trace"),
    Column("input", "coded wave", "", "neither", role="trace"),
    Column("throughput_encode", "throughput encode", "s/s", "higher", 0.0, decimals=1, role="fact"),
    Column("throughput_decode", "throughput decode", "s/s", "higher", 0.0, decimals=1, role="fact"),
    Column("process_cpu", "CPU of the codec's process", "s/s", "lower", 0.0, decimals=3, role="fact"),
    Column("process_peak", "memory of the codec's process", "MiB", "lower", 0.0, decimals=0, role="fact"),
)
"""What is odd about a wave (bench.validity.facts): a row stands only where there is something to tell. fresh_db: of one
utterance of each system, the ratio of its wave to what a second codec makes otherwise of the same bytes. input: the hash
of what the codec heard. throughput: audio seconds per second of computing, where an utterance was coded in a batch (`detail`
tells how many); rtf_encode and rtf_decode stand only where it was coded by itself. process: of a codec that runs in a process
of its own, which tells its CPU seconds per second of audio and the most memory that it has held."""

PROBES: Mapping[str, Column] = _named(
    Column("probe_wer", "WER of the probe", "%", "lower", 0.0, scale=100.0, decimals=1),
    Column("probe_cer", "CER of the probe", "%", "lower", 0.0, scale=100.0, decimals=1),
    Column("probe_er", "error rate of the probe", "%", "lower", 0.0, 1.0, scale=100.0, decimals=1),
    Column("probe_seed_sd", "sd over seeds", "%", "neither", 0.0, scale=100.0, decimals=1, role="fact"),
    Column("probe_fold_sd", "sd over folds", "%", "neither", 0.0, scale=100.0, decimals=1, role="fact"),
    Column("probe_params", "probe parameters", "M", "neither", 0.0, decimals=2, role="fact"),
    Column("probe_train_s", "training time", "s", "neither", 0.0, decimals=0, role="fact"),
    Column("probe_epoch", "best epoch", "", "neither", 0.0, decimals=0, role="fact"),
)
"""Errors of a trained probe, and what is told beside them."""

RESTORATION: Mapping[str, Column] = _named(
    Column("wrong_tokens", "wrong tokens", "%", "lower", 0.0, scale=100.0, decimals=1, role="fact"),
)
"""wrong_tokens: share of the tokens that are not those of the clean recording, all codebooks together."""

STREAMING: Mapping[str, Column] = _named(
    Column("latency_ms", "latency", "ms", "lower", 0.0, decimals=0),
    Column("look_ahead_ms", "look-ahead", "ms", "lower", 0.0, decimals=0),
    Column("first_sample_ms", "first sample after", "ms", "lower", 0.0, decimals=0),
    Column("rtf_chunks", "RTF of chunks", "s/s", "lower", 0.0, decimals=3),
    Column("chunk_p50_ms", "a chunk's time, p50", "ms", "neither", 0.0, decimals=1),
    Column("chunk_p95_ms", "a chunk's time, p95", "ms", "neither", 0.0, decimals=1),
    Column("chunk_p99_ms", "a chunk's time, p99", "ms", "neither", 0.0, decimals=1),
    Column("chunk_times", "times of chunks", "s", "neither", role="trace"),
)
"""latency_ms: from a sample's coming in to its going out, the longest, without computing. look_ahead_ms: how far ahead of
an output sample the input is that changes it, found by perturbation (a lower bound: a codebook may hide a change).
first_sample_ms: from the first sample's coming in to the first one's going out, computing included. rtf_chunks: seconds of
computing per second of speech. chunk_times: seconds of every chunk (JSON), from which the percentiles are pooled."""

SYNTHESIS: Mapping[str, Column] = _named(
    Column("rtf_synthesis", "RTF synthesis", "s/s", "lower", 0.0, decimals=2, role="fact"),
    Column("tokens_alike", "tokens as in the recording", "%", "higher", 0.0, 1.0, scale=100.0, decimals=1, role="fact"),
    Column("synthesis_choice", "sample that was kept", "", "neither", role="trace"),
)
"""rtf_synthesis: seconds of computing per second of speech, all samples together. tokens_alike: which share of the target
recording's own tokens stands in its place; of interest where the sentence was learnt by heart. synthesis_choice: which
sample of an utterance was kept (`detail`: the word error rate of each)."""

LISTENING: Mapping[str, Column] = _named(
    Column("mushra", "MUSHRA", "", "higher", 0, 100, decimals=1),
    Column("abx", "ABX correct", "%", "lower", 0, 1, scale=100.0, decimals=1),
    Column("ab_preference", "preferred", "%", "higher", 0, 1, scale=100.0, decimals=1),
)
"""What listeners answered: ratings of 0 to 100; how often the codec was told from the original; how often it was preferred."""

ENGINE = {**CODING, **USAGE}
"""What the engine measures without a metric."""
TO_SOURCE = "_to_source"
"""End of the names of a conversion's columns against the source utterance."""


@cache
def every_column() -> dict[str, Column]:
    """Column name -> Column: the engine's, the metrics', the probes', other packages', each followed by conversion's twins.

    Raises BenchError where another package gives a column a name that is taken.
    """
    known = {**ENGINE, **ODD}
    brought: list[tuple[str, Iterable[Column]]] = [("a metric", metrics.columns().values())]
    brought += [("a task", some.values()) for some in (PROBES, RESTORATION, STREAMING, SYNTHESIS, LISTENING)]
    brought += [(entry.value, entry.load()) for entry in entry_points(group="bench.columns")]
    for source, columns in brought:
        for column in columns:
            if known.setdefault(column.name, column) != column:
                raise BenchError(f"column '{column.name}' of {source} is defined elsewhere too: rename one of them")
    return derived(known)


def derived(known: Mapping[str, Column]) -> dict[str, Column]:
    """`known` and, for every column, its twin against the source utterance of a conversion."""
    made = dict(known)
    for name, column in known.items():
        # Likeness to the source's voice is what a conversion should lose.
        better = "lower" if name.startswith("sim_") else column.better
        made[name + TO_SOURCE] = replace(column, name=name + TO_SOURCE, title=f"{column.title} to source", better=better)
    return made
