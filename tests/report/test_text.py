"""What users name (folders, systems, transcripts) is printed as it is, and read by nothing as markup or as commands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.metrics import Column
from bench.report import leaderboard
from bench.report.text import clean, code, grid, markdown_table, markup

EVIL = "a|b`c`<img src=x onerror=alert(1)>*d*[e](http://x)\x1b[2J\x07\nf\u202eg"


@pytest.mark.parametrize("text", ["opus@6", "focalcodec@50 [nano]", "published@high_tkr", "Ünïcode ↑ 中文", "50 %"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == markup(text) == text and code(text) == f"`{text}`"


def test_a_terminal_is_not_steered() -> None:
    assert "\n" not in clean(EVIL) and "\x07" not in clean(EVIL) and "\u202e" not in clean(EVIL)
    assert clean("\x1b]0;title\x07") == "\\x1b]0;title\\x07"
    assert clean("\x1b[1mbest\x1b[0m") == "\x1b[1mbest\x1b[0m"


def test_tables_keep_their_shape() -> None:
    table = markdown_table(["codec", "n"], [[code(EVIL), "1"]])
    assert len(table.splitlines()) == 3
    assert len(grid(["codec", "n"], [[EVIL, "1"]], width=500).splitlines()) == 3


def test_markdown_reads_no_markup_in_a_name() -> None:
    assert "<img" not in markup(EVIL) and "](http" not in markup(EVIL).replace(r"\](", "")
    assert code("a`b") == "`` a`b ``"


def test_a_leaderboard_with_such_names(baseline: pd.DataFrame, columns: dict[str, Column], tmp_path: Path) -> None:
    rows = baseline.assign(dataset=EVIL)
    rows["codec"] = rows["codec"].astype(str).replace({"neural@1": f"published@{EVIL}"})
    page, told = leaderboard.markdown(rows, columns, draws=50), leaderboard.terminal(rows, columns, draws=50)
    [heading] = [line for line in page.splitlines() if line.startswith("## ")]
    assert "&lt;img" in heading and "<img" not in heading
    assert "\x07" not in page + told and "\u202e" not in page + told
    assert told.splitlines()[0].startswith("resynthesis | a|b`c`")
