"""Intervals, paired tests and their meaning, over rows of results. Nothing here draws a table."""

from __future__ import annotations

from bench.stats.bootstrap import Interval, interval, paired
from bench.stats.frames import groups, tidy
from bench.stats.labels import find_system, system_labels
from bench.stats.multiple import benjamini_hochberg, holm
from bench.stats.power import smallest_visible, utterances_needed
from bench.stats.resampling import DRAWS, SEED
from bench.stats.scores import Scores, scores
from bench.stats.tables import Group
from bench.stats.verdict import Verdict, compare_paired, judge

__all__ = [
    "DRAWS",
    "SEED",
    "Group",
    "Interval",
    "Scores",
    "Verdict",
    "benjamini_hochberg",
    "compare_paired",
    "find_system",
    "groups",
    "holm",
    "interval",
    "judge",
    "paired",
    "scores",
    "smallest_visible",
    "system_labels",
    "tidy",
    "utterances_needed",
]
