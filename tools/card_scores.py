"""Renew the table of scores in the card of a family's small weights (codecs/FAMILY/nano.md) from the rows under results/.

    python tools/card_scores.py focalcodec [LIBRISPEECH]

LIBRISPEECH, the folder that holds test-clean/ and test-other/, tells which utterances are of test-clean
(default: ../shared/data/LibriSpeech).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from bench.columns import every_column
from bench.report.columns import number
from bench.stats.scores import scores

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "results" / "resynthesis" / "librispeech-test-clean+test-other" / "rows"
HEAD = "| point | DistillMOS | dWER % (Moonshine) | STOI | Sim (Resemblyzer) % |\n|---|---|---|---|---|\n"
SHOWN = ("distillmos", "dwer", "stoi", "sim_resemblyzer")


def main(family: str, speech: str = "../shared/data/LibriSpeech") -> None:
    clean = {path.stem for path in (ROOT / speech / "test-clean").rglob("*.flac")}
    if not clean:
        raise SystemExit(f"error: {ROOT / speech}: holds no test-clean; name the folder of LibriSpeech")
    card = ROOT / "codecs" / family / "nano.md"
    text = card.read_text(encoding="utf-8")
    table = re.search(re.escape(HEAD) + r"(?:\|.*\n)+", text)
    if table is None:
        raise SystemExit(f"error: {card}: holds no table that begins with\n{HEAD}")
    order = re.findall(rf"^\| ({family}@\S+) \|", table[0], re.MULTILINE)
    lines = [line(point, clean) for point in order]
    card.write_text(text.replace(table[0], HEAD + "".join(lines)), encoding="utf-8")
    print(HEAD + "".join(lines), end="")


def line(point: str, clean: set[str]) -> str:
    """One row: every score over all excerpts, and in brackets over those of test-clean."""
    files = sorted(ROWS.glob(f"{point}-nano-*.parquet"))
    if len(files) != 1:
        raise SystemExit(f"error: {ROWS}: holds {len(files)} files of {point} with small weights; run tools/results.sh")
    rows = pd.read_parquet(files[0])
    if not rows["utterance"].isin(clean).any():
        raise SystemExit(f"error: {files[0].name}: none of its utterances is in test-clean; name the folder of LibriSpeech")
    cells = [f"{every} ({part})" for every, part in zip(shown(rows), shown(rows[rows["utterance"].isin(clean)]), strict=True)]
    return f"| {' | '.join([point, *cells])} |\n"


def shown(rows: pd.DataFrame) -> list[str]:
    """The corpus values of one codec's rows, as tables print them."""
    columns = every_column()
    [values] = scores(rows, columns=SHOWN).estimates
    return [number(float(value), columns[name]) for name, value in zip(SHOWN, values, strict=True)]


if __name__ == "__main__":
    main(*sys.argv[1:])
