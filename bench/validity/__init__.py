"""Is an evaluation what it claims to be? Facts of each pair of signals, and alarms over rows of results."""

from __future__ import annotations

from bench.validity.alarms import ALARMS, HASHES, Alarm, alarms, marks
from bench.validity.originals import ORIGINAL, original_notes
from bench.validity.pair import pair_facts
from bench.validity.tally import marks_of

__all__ = ["ALARMS", "HASHES", "ORIGINAL", "Alarm", "alarms", "marks", "marks_of", "original_notes", "pair_facts"]
