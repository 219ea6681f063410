"""Speech codec bench: codecs x tasks -> results, with intervals, failures and provenance beside every number."""

from __future__ import annotations

__version__ = "0.1.0"
