"""CPU seconds that codecs spent in processes of their own on behalf of this one, which its own clock cannot see."""

from __future__ import annotations

_spent = 0.0


def add(seconds: float) -> None:
    """Count what a child reported."""
    global _spent
    _spent += seconds


def spent_s() -> float:
    """The sum so far."""
    return _spent
