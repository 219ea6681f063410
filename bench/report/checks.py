"""The gate's checks of one system against its baseline: what must not move at all, and what is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench import validity
from bench.metrics import Column
from bench.report.columns import FACTS, RATE_COLUMNS, column_of, margin_of, number, score_names
from bench.stats import bootstrap
from bench.stats.scores import Scores, scores
from bench.stats.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["ok", "FAIL", "cannot tell", "note"]
ORDER: dict[Status, int] = {"FAIL": 0, "cannot tell": 1, "note": 2, "ok": 3}
HALF_SAMPLE_MS = 0.03
"""Half a sample at 16 kHz: a delay that moved by more moved."""
CODES_MARGIN = 0.01
"""Relative: how much dearer the entropy-coded rate may become where the codes changed."""


@dataclass(frozen=True)
class Finding:
    """One line of the gate's table."""

    status: Status
    system: str
    where: str
    check: str
    before: str = ""
    now: str = ""
    detail: str = ""
    verdict: Verdict | None = None


def system_checks(
    system: str, where: str, old: pd.DataFrame, new: pd.DataFrame, columns: Mapping[str, Column], alpha: float,
    draws: int, seed: int,
) -> tuple[list[Finding], list[tuple[Finding, Verdict, Column]]]:
    """Checks of one system: decided findings, and score lines that wait for Holm."""
    both = _together(old, new)
    out = [*_presence(system, where, old, new)]
    same_codes, found = _codes(system, where, old, new)
    out += found
    out += _exact(system, where, both, columns, same_codes)
    out += _failures(system, where, both)
    lines = _score_lines(system, where, both, columns, alpha, draws, seed)
    return out, lines


def _together(old: pd.DataFrame, new: pd.DataFrame) -> Scores:
    """Baseline and today as two systems of one group."""
    import pandas as pd

    rows = pd.concat([old, new], ignore_index=True)
    labels = pd.Series(["baseline"] * len(old) + ["now"] * len(new), index=rows.index)
    return scores(rows, labels)


def _presence(system: str, where: str, old: pd.DataFrame, new: pd.DataFrame) -> list[Finding]:
    out = []
    for what in ("utterance", "column"):
        known, found = set(old[what]), set(new[what])
        lost, added = sorted(known - found), sorted(found - known)
        status: Status = "FAIL" if lost else "note" if added else "ok"
        detail = f"lost: {_some(lost)}" if lost else f"new: {_some(added)}" if added else ""
        out.append(Finding(status, system, where, f"{what}s", str(len(known)), str(len(found)), detail))
    versions = [part.drop_duplicates("column").set_index("column")["metric_version"] for part in (old, new)]
    for column in versions[0].index.intersection(versions[1].index):
        before, now = versions[0][column], versions[1][column]
        if before != now:
            out.append(Finding("FAIL", system, where, f"{column} definition", f"version {before}", f"version {now}",
                               "another definition cannot be compared: renew the baseline if this is meant"))
    counts = old.groupby("column")["utterance"].nunique(), new.groupby("column")["utterance"].nunique()
    for column, count in counts[0].items():
        left = int(counts[1].get(column, 0))
        if set(old["utterance"]) <= set(new["utterance"]) and 0 < left < count:
            out.append(Finding("FAIL", system, where, f"{column} rows", str(count), str(left), "rows are missing"))
    return out


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _codes(system: str, where: str, old: pd.DataFrame, new: pd.DataFrame) -> tuple[bool, list[Finding]]:
    """Whether all codes are equal, and what to say of it."""
    a, b = (part[part["column"] == "codes"].set_index("utterance") for part in (old, new))
    common = a.index.intersection(b.index)
    if not len(common):
        return False, []
    differ = [u for u in common if a.at[u, "detail"] != b.at[u, "detail"]]
    changed = [what for what in ("code_version", "settings", "weights_sha256")
               if set(a[what]) != set(b[what])]
    equal = f"{len(common) - len(differ)} equal"
    if not differ:
        return True, [Finding("ok", system, where, "codes", f"{len(common)}", equal)]
    some = f"differ: {_some(sorted(differ))}"
    if "packages" in a and set(a["packages"]) != set(b["packages"]):
        some += "; package versions changed"
    if changed:
        return False, [Finding("note", system, where, "codes", f"{len(common)}", equal,
                               f"{some}; changed: {', '.join(changed)}")]
    return False, [Finding("FAIL", system, where, "codes", f"{len(common)}", equal,
                           f"{some}; code, settings and weights are unchanged")]


def _exact(
    system: str, where: str, both: Scores, columns: Mapping[str, Column], same_codes: bool
) -> list[Finding]:
    """Facts that must not move: bits, missing samples, polarity, constant delay."""
    out = []
    was, now = both.systems.index("baseline"), both.systems.index("now")
    for name in (*RATE_COLUMNS, "length_diff", "short_ms", "polarity", "delay_ms"):
        if name not in both.columns:
            continue
        c = both.columns.index(name)
        common = both.scored[:, was, c] & both.scored[:, now, c]
        if not common.any():
            continue
        column = column_of(name, columns)
        a, b = both.num[common, was, c], both.num[common, now, c]
        before, after = (number(float(both.num[common, s, c].sum() / both.den[common, s, c].sum()),
                                replace(column, decimals=4)) for s in (was, now))
        moved = b - a
        if name == "delay_ms":
            # a constant shift is a lost sample; estimates of generative codecs scatter around 0 instead
            shift = float(np.median(moved))
            way = np.mean(moved > HALF_SAMPLE_MS) if shift > 0 else np.mean(moved < -HALF_SAMPLE_MS)
            bad = abs(shift) > HALF_SAMPLE_MS and way >= 0.8
            detail = f"moved by {shift:+.4g} ms in {way:.0%} of utterances" if bad else ""
        elif name == "bitrate_entropy" and not same_codes:
            bad = b.sum() > a.sum() * (1 + CODES_MARGIN)
            detail = f"dearer by {b.sum() / a.sum() - 1:.1%}" if bad else ""
        else:
            differ = ~np.isclose(a, b, rtol=1e-9, atol=1e-9)
            bad = bool(differ.any())
            detail = f"differs in {int(differ.sum())} of {len(a)} utterances" if bad else ""
        title = f"{column.title} {column.unit}".strip()
        out.append(Finding("FAIL" if bad else "ok", system, where, title, before, after, detail))
    return out


def _failures(system: str, where: str, both: Scores) -> list[Finding]:
    """Columns that fail more often than before; the facts of a pair may be undefined and do not count."""
    was, now = both.systems.index("baseline"), both.systems.index("now")
    out = []
    for c, name in enumerate(both.columns):
        if name in (*validity.HASHES, "polarity", "delay_ms", "rate_ratio"):
            continue
        # only utterances that both ran: a lost one is told once, as lost
        ran = both.present[:, was, c] & both.present[:, now, c]
        before, after = (int((both.failed[:, s, c] & ran).sum()) for s in (was, now))
        if after > before:
            names = [both.utterances[i] for i in np.flatnonzero(both.failed[:, now, c] & ~both.failed[:, was, c] & ran)]
            out.append(Finding("FAIL", system, where, f"{name} failures", str(before), str(after), _some(names)))
    return out or [Finding("ok", system, where, "failures", "", "", "none new")]


def alarm_checks(old: pd.DataFrame, new: pd.DataFrame) -> list[Finding]:
    """Validity alarms of all systems at once: those that the baseline did not have fail."""
    known = {_alarm_key(line) for line in validity.marks(validity.alarms(old), old).itertuples(index=False)}
    out = []
    for line in validity.marks(validity.alarms(new), new).itertuples(index=False):
        if _alarm_key(line) not in known:
            where = "/".join((line.task, line.dataset, line.condition))
            out.append(Finding("FAIL", line.system, where, f"alarm: {line.alarm}", "no",
                               f"{line.count} of {line.total}", line.meaning))
    return out or [Finding("ok", "all", "", "alarms", "", "", "none new")]


def _alarm_key(line: Any) -> tuple[str, ...]:
    return (line.task, line.dataset, line.condition, line.system, line.alarm)


def _score_lines(
    system: str, where: str, both: Scores, columns: Mapping[str, Column], alpha: float, draws: int, seed: int,
) -> list[tuple[Finding, Verdict, Column]]:
    was, now = both.systems.index("baseline"), both.systems.index("now")
    names = [name for name in score_names(both.columns, columns) if name not in FACTS]
    if not names:
        return []
    at = [both.columns.index(name) for name in names]
    common = both.scored[:, was, at] & both.scored[:, now, at]
    blocks = [np.where(common, x[:, s, at], 0.0) for s in (was, now) for x in (both.num, both.den)]
    terms = np.stack(blocks, axis=2)  # [n, C, 4]
    ran = common.any(axis=1)
    terms, speakers = terms[ran], both.speakers[ran]
    design = bootstrap.plan(len(terms), speakers, "stratified")
    sample = None
    if design.units > 1 and not np.array_equal(terms[:, :, :2], terms[:, :, 2:]):
        sums = bootstrap.draw_sums(terms.reshape(len(terms), -1), design, draws, seed)
        sample = bootstrap.difference(sums.reshape(len(sums), len(names), 4))
    out = []
    for i, name in enumerate(names):
        column, n = columns[name], int(common[:, i].sum())
        if n == 0:
            continue
        total = terms[:, i].sum(axis=0)
        equal = np.array_equal(terms[:, i, :2], terms[:, i, 2:])
        values = np.zeros(1) if equal else np.full(1, np.nan) if sample is None else sample[:, i]
        verdict = judge(float(bootstrap.difference(total)), values, design.df, n, margin_of(column),
                        column.better == "higher", alpha, scheme=design.scheme)
        finding = Finding("ok", system, where, column.title, number(float(bootstrap.ratio(total[:2])), column),
                          number(float(bootstrap.ratio(total[2:])), column), "", verdict)
        out.append((finding, verdict, column))
    return out
