"""A column that was asked for is shown, also where its metric belongs to the profile."""

from __future__ import annotations

import pytest

from bench.results.schema import typed
from bench.tasks import columns


@pytest.mark.parametrize("asked", [(), ("cer",), ("cer", "wer")])
def test_cer_is_shown_when_asked_for(asked: tuple[str, ...]) -> None:
    of_all = {"task": "resynthesis", "profile": "embedded", "metric": "error_rates"}
    rows = typed(of_all | {"column": column} for column in ("dwer", "wer", "cer"))
    assert [name for name in columns.shown(rows, asked) if "er" in name] == ["dwer", "wer", *(["cer"] if asked else [])]
