"""Facts of a whole set: who has some is told, and no table is printed of what nobody has."""

from __future__ import annotations

from bench.metrics import Column
from bench.results.publish import facts_table
from bench.results.schema import typed

KNOWN = {"code_usage": Column("code_usage", "code usage", "%", "neither", scale=100.0, decimals=1)}


def fact(codec: str, column: str, value: float) -> dict[str, object]:
    return {"codec": codec, "weights": "none", "role": "resynthesis", "variant": "", "column": column, "value": value}


def test_who_has_no_fact_that_is_shown_has_no_line() -> None:
    table = facts_table(typed([fact("a@1", "code_usage", 0.5), fact("b@1", "unused", 1.0)]), KNOWN)
    assert "| a@1 | 50.0 |" in table and "b@1" not in table


def test_no_facts_no_table() -> None:
    assert facts_table(typed([fact("b@1", "unused", 1.0)]), KNOWN) == ""
