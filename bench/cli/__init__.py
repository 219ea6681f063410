"""What a user calls: `python -m bench COMMAND`."""

from __future__ import annotations

from bench.cli.main import main

__all__ = ["main"]
