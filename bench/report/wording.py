"""What tables say in words: what was run, how to read them, what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.metrics import Column
from bench.report import agreement, treatment
from bench.report import overview as first
from bench.report.design import HEARD
from bench.report.summary import STARRED_FROM, Summary
from bench.report.text import clean
from bench.speech import WHAT_CONDITIONS_MEAN
from bench.stats.resampling import GROUPS, MOST_UNITS

CLAIM = {
    "cluster": "bootstrap over {units} speakers",
    "stratified": "bootstrap over utterances within {units} speakers",
    "utterance": "bootstrap over utterances",
}


def failed(summary: Summary, names: Sequence[str]) -> list[str]:
    """One line for each system with failures: how many utterances, and the commonest reason."""
    out = []
    for system in summary.systems:
        if count := summary.failed(system, names):
            kind, times, detail = summary.reasons.get(system, ("no score", count, ""))
            reason = f"{kind} ({times}): {detail}" if detail else f"{kind} ({times})"
            out.append(f"failed: {system}: {count} of {summary.utterances} utterances, most often {reason}"[:300])
    return ["", *out] if out else []


def header(summary: Summary) -> list[str]:
    """What was run: utterances, speakers, duration, kind of speech, its list; whether it is only a part."""
    group = summary.group
    minutes = f"{summary.seconds / 60:.1f} min" if summary.seconds < 5400 else f"{summary.seconds / 3600:.2f} h"
    kind = "synthetic speech" if summary.synthetic else "recorded speech"
    sha = f", list {group.dataset_sha256[:12]}" if group.dataset_sha256 else ""
    out = [f"{summary.utterances} utterances, {summary.speakers} speakers, {minutes}, {kind}{sha}"]
    if group.condition in WHAT_CONDITIONS_MEAN:
        out.append(WHAT_CONDITIONS_MEAN[group.condition])
    if summary.partial:
        out.append("Partial: only some of the set's utterances were run; do not quote these numbers.")
    for mark, meaning in HEARD:
        if shared := [system for system in summary.systems if (mark, meaning) in summary.marks.get(system, ())]:
            out.append(
                f"{mark}: {meaning} ({len(shared)} of {len(summary.systems)} rows): their scores are flattered here; "
                "recorded speech tells more of them."
            )
    return out


def how_to_read(summary: Summary, bold: str, name: Callable[[str], str]) -> list[str]:
    """What intervals, bold figures and marks mean, a line each. bold: how the best is shown; name: how a system is written."""
    claim = CLAIM[summary.scheme].format(units=summary.speakers)
    if (summary.speakers if summary.scheme == "cluster" else summary.utterances) > MOST_UNITS:
        claim += f", drawn in {GROUPS:,} random groups"
    out = [
        f"±: half of the 95 % interval ({claim}, {summary.draws:,} draws, seed {summary.seed}). "
        f"{bold}: the best, and every codec whose paired 95 % interval against it includes 0; "
        f"neither where n is below {100 * STARRED_FROM:.0f} % of the column's largest."
    ]
    legend: dict[str, str] = {}
    for system in summary.systems:
        for mark, meaning in summary.marks.get(system, ()):
            text, counted, count = meaning.rpartition(" (")
            text, entry = (text, f"{name(system)} ({count}") if counted else (meaning, name(system))
            legend[mark] = f"{legend[mark]}, {entry}" if mark in legend else f"{mark}: {text}: {entry}"
    return [*out, *dict.fromkeys(summary.blind.values()), *(legend[mark] for mark in sorted(legend)), *summary.originals]


def agreed(summary: Summary, columns: Mapping[str, Column]) -> list[str]:
    """Whether scores agree on the order of the systems, and what no treatment improves, where either is known."""
    return [told for told in (agreement.line(summary, columns), treatment.line(summary, columns)) if told]


def notes(summary: Summary) -> list[str]:
    """How to read the table of a summary, a line each, as plain text."""
    return [first.NOTE, *how_to_read(summary, "bold", clean)]
