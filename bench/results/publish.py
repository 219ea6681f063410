"""From rows to what is read: leaderboard, plot, and what belongs to a set as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import cards, writing
from bench.errors import BenchError
from bench.results.current import Rows, opened
from bench.stats.labels import system_labels
from bench.stats.parts import parts_of

if TYPE_CHECKING:
    import pandas as pd

    from bench.metrics import Column
    from bench.report.papers import Reported
    from bench.report.plots import Printed
    from bench.stats.parts import Part

RATE_DISTORTION, CONDITIONS, NONE = "rate_distortion", "conditions", "none"
PLOTS = (RATE_DISTORTION, CONDITIONS, NONE)
"""Scores over bit rate; or what a task's card says by `plot`: each codec's scores by condition, or no picture at all."""
FIELDS = (
    "task", "profile", "dataset", "dataset_sha256", "partial", "synthetic", "condition", "role", "variant", "codec", "weights",
    "weights_sha256", "device", "device_kind", "threads", "utterance", "speaker", "language", "seconds", "column", "metric",
    "metric_version", "value", "num", "den", "failure", "detail", "code_version",
)  # fmt: skip
"""The fields of rows that tables and plots are made from."""


def publish(
    rows: pd.DataFrame | Rows,
    folder: Path,
    known: Mapping[str, Column],
    width: int = 160,
    plot: str = RATE_DISTORTION,
) -> tuple[str, list[Path]]:
    """Write leaderboard and plot of `rows` into `folder`, with a line for what was left out.

    known: the columns to show, in their order. plot: which one (PLOTS). -> the table as text for a terminal of `width`,
    the files.
    """
    from bench.report import conditions, leaderboard, plots
    from bench.report.summary import summaries

    page = folder / "leaderboard.md"
    rows = opened(rows)
    made, papers = summaries(rows.parts, known), reported(rows.kinds)
    text = leaderboard.markdown(rows.parts, known, reported=papers, made=made)
    left_out = "".join(f"\n> {line}\n" for line in rows.stale)
    writing.write_text(page, text + by_language(rows.parts, known) + facts_table(rows.of_sets, known) + left_out)
    written = [page]
    draw = conditions.conditions if plot == CONDITIONS else partial(plots.rate_distortion, printed=printed(rows.kinds))
    if plot == CONDITIONS or (plot == RATE_DISTORTION and "bitrate_packed" in known):
        picture = folder / f"{plot}.png"
        try:
            with writing.in_place(picture) as beside:
                draw(rows.parts, known, beside, made=made)
        except BenchError as error:
            picture.unlink(missing_ok=True)  # an older run's would be of other numbers
            print(f"no plot: {error}")
        else:
            written.append(picture)
    told = leaderboard.terminal(rows.parts, known, reported=papers, width=width, made=made)
    return told + _left_out(rows), written


def terminal(rows: Rows, known: Mapping[str, Column], width: int = 160) -> str:
    """The leaderboard of `rows` as text, with a line for what was left out."""
    from bench.report import leaderboard

    text = leaderboard.terminal(rows.parts, known, reported=reported(rows.kinds), width=width)
    return text + _left_out(rows)


def _left_out(rows: Rows) -> str:
    return "".join(f"{line}\n" for line in rows.stale)


def by_language(rows: pd.DataFrame | Sequence[Part], known: Mapping[str, Column]) -> str:
    """The scores of speech in several languages, language by language and the worst one named, as markdown."""
    parts = parts_of(rows)
    if len({language for part in parts for language in part.kinds["language"]}) < 2:
        return ""
    from bench.report import slices

    return slices.markdown(list(slices.slices(parts, known, slices.told_by_rows(parts, "language"))), "language")


def facts_table(rows: pd.DataFrame, known: Mapping[str, Column]) -> str:
    """What belongs to a whole set (code usage, a probe's size and cost): means over seeds and folds, as markdown."""
    if rows.empty:
        return ""
    from bench.report.text import markdown_table

    names = [name for name in known if name in set(rows["column"].astype(str))]
    head = ["codec", *(f"{known[name].title} ({known[name].unit})" if known[name].unit else known[name].title for name in names)]
    means = rows["value"].groupby([system_labels(rows), rows["column"].astype(str)]).mean()
    lines = []
    for label in dict.fromkeys(label for label, _ in means.index):
        cells = [means.get((label, name)) for name in names]
        if not any(cell == cell and cell is not None for cell in cells):
            continue
        texts = [
            "–" if cell is None else f"{cell * known[name].scale:.{known[name].decimals}f}"
            for cell, name in zip(cells, names, strict=True)
        ]
        lines.append([label, *texts])
    if not lines:
        return ""
    return "\n### Facts of the whole set\n\n" + markdown_table(head, lines) + "\n"


def reported(rows: pd.DataFrame) -> dict[tuple[str, str], Reported]:
    """(codec, column) -> what its paper prints for this task and condition: on the same corpus, and where the paper has
    nothing of that corpus, on whichever recorded speech it used."""
    from bench.report.papers import Reported

    task, condition, data = (str(rows[key].iloc[0]) for key in ("task", "condition", "dataset"))
    found: dict[tuple[str, str], Reported] = {}
    for family in {str(name).split("@")[0] for name in rows["codec"].unique()} & set(cards.paths()):
        card = cards.load(family)
        fitting = [entry for entry in card.reported if entry.task == task and (entry.condition or "clean") == condition]
        same = {entry.point for entry in fitting if _corpus(entry.data) == _corpus(data)}
        for entry in fitting:
            if entry.point not in same or _corpus(entry.data) == _corpus(data):
                for column, value in entry.scores.items():
                    found.setdefault((entry.name(card.points[entry.point]), column), Reported(value, entry.source, entry.data))
    return found


def _corpus(data: str) -> str:
    """The corpus that a set is of, as papers and tables write it: mls for `MLS-700`, `mls#dutch` and `minimls`."""
    return _plain(data).partition(" ")[0].removeprefix("mini")


def printed(rows: pd.DataFrame) -> list[Printed]:
    """What papers print, for this task, condition and very data, of codecs that have no rows here."""
    from bench.report.plots import Printed

    if rows.empty:
        return []
    task, condition, data = (str(rows[key].iloc[0]) for key in ("task", "condition", "dataset"))
    here = set(rows["codec"].astype(str).unique())
    found: dict[tuple[str, str], Printed] = {}
    for card in cards.readable()[0]:
        for entry in card.reported:
            point = card.points[entry.point]
            if entry.name(point) in here or point.bitrate_kbps is None or _plain(entry.data) != _plain(data):
                continue
            if entry.task == task and (entry.condition or "clean") == condition:
                for column, value in entry.scores.items():
                    found.setdefault((entry.name(point), column), Printed(entry.name(point), point.bitrate_kbps, column, value))
    return list(found.values())


def _plain(data: str) -> str:
    """A set's name as papers and tables write it: `LibriSpeech test-clean` and `librispeech#test-clean` alike."""
    return re.sub(r"[^a-z0-9]+", " ", data.lower()).strip().removesuffix(" test")
