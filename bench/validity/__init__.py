"""Is an evaluation what it claims to be? Facts of each pair of signals, and alarms over rows of results."""

from __future__ import annotations

from bench.validity.alarms import ALARMS, Alarm, alarms, marks
from bench.validity.pair import pair_facts

__all__ = ["ALARMS", "Alarm", "alarms", "marks", "pair_facts"]
