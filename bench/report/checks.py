"""The gate's checks of one system against its baseline: what must not move at all, and what is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench import validity
from bench.fingerprint import equal_frames
from bench.metrics import Column
from bench.report.columns import RATE_COLUMNS, column_of, margin_of, number, score_names
from bench.stats import bootstrap
from bench.stats.resampling import draw_sums
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
LEVEL_MARGIN_DB = 0.5
"""By how much the output's level may move: half of the least change of loudness that listeners notice in speech."""
ROUNDING_SHARE = 0.9
"""Of all frames: fewer that are equal on another kind of CPU are no rounding."""


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
    system: str,
    where: str,
    old: pd.DataFrame,
    new: pd.DataFrame,
    columns: Mapping[str, Column],
    alpha: float,
    draws: int,
    seed: int,
) -> tuple[list[Finding], list[tuple[Finding, Verdict, Column]]]:
    """Checks of one system: decided findings, and score lines that wait for Holm."""
    both = _together(old, new)
    out = [*_presence(system, where, old, new)]
    lines = _score_lines(system, where, both, columns, alpha, draws, seed)
    codes = _codes(old, new)
    out += _told(system, where, codes, lines)
    out += _exact(system, where, both, columns, codes)
    out += _level(system, where, both)
    out += _failures(system, where, both)
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
            out.append(
                Finding(
                    "FAIL",
                    system,
                    where,
                    f"{column} definition",
                    f"version {before}",
                    f"version {now}",
                    "another definition cannot be compared: renew the baseline if this is meant",
                )
            )
    counts = old.groupby("column")["utterance"].nunique(), new.groupby("column")["utterance"].nunique()
    for column, count in counts[0].items():
        left = int(counts[1].get(column, 0))
        if set(old["utterance"]) <= set(new["utterance"]) and 0 < left < count:
            out.append(Finding("FAIL", system, where, f"{column} rows", str(count), str(left), "rows are missing"))
    return out


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass(frozen=True)
class Codes:
    """Codes of the baseline against today's. cpus: kinds of CPU, where they are known; share: of frames that are equal."""

    count: int
    differ: tuple[str, ...]
    changed: tuple[str, ...]
    packages: bool
    cpus: tuple[str, str] | None
    share: float

    @property
    def same(self) -> bool:
        """Whether there are codes to compare, and all are equal."""
        return self.count > 0 and not self.differ

    @property
    def rounding(self) -> bool:
        """Whether they may differ by nothing but the order of sums: nothing changed but the kind of CPU, and most are equal."""
        other = self.cpus is not None and self.cpus[0] != self.cpus[1]
        return bool(self.differ) and other and not self.changed and self.share >= ROUNDING_SHARE


def _codes(old: pd.DataFrame, new: pd.DataFrame) -> Codes:
    a, b = (part[part["column"] == "codes"].set_index("utterance") for part in (old, new))
    common = a.index.intersection(b.index)
    pairs = {u: (str(a.at[u, "detail"]).split(), str(b.at[u, "detail"]).split()) for u in common}
    differ = tuple(sorted(u for u, (was, now) in pairs.items() if was[:1] != now[:1]))
    changed = [what for what in ("code_version", "settings", "weights_sha256") if set(a[what]) != set(b[what])]
    told = [(was, now) for was, now in pairs.values() if len(was) == len(now) == 3]
    equal = [equal_frames(was[2], now[2]) for was, now in told]
    frames = sum(count for _, count in equal)
    return Codes(
        len(common), differ, tuple(changed) if len(common) else (),
        "packages" in a and set(a["packages"]) != set(b["packages"]),
        (told[0][0][1], told[0][1][1]) if told else None, sum(same for same, _ in equal) / frames if frames else 0.0,
    )  # fmt: skip


def _told(system: str, where: str, codes: Codes, lines: Sequence[tuple[Finding, Verdict, Column]]) -> list[Finding]:
    """What to say of the codes. Those that differ by rounding pass only where every score is shown to be no worse."""
    if not codes.count:
        return []
    count, equal = f"{codes.count}", f"{codes.count - len(codes.differ)} equal"
    if codes.same:
        return [Finding("ok", system, where, "codes", count, equal)]
    some = f"differ: {_some(codes.differ)}" + ("; package versions changed" if codes.packages else "")
    if codes.changed:
        return [Finding("note", system, where, "codes", count, equal, f"{some}; changed: {', '.join(codes.changed)}")]
    if codes.cpus is None or codes.cpus[0] == codes.cpus[1]:
        return [Finding("FAIL", system, where, "codes", count, equal, f"{some}; code, settings and weights are unchanged")]
    told = f"{codes.share:.1%} of frames equal; {codes.cpus[0]} then, {codes.cpus[1]} now"
    if not codes.rounding:
        return [Finding("FAIL", system, where, "codes", count, equal, f"{told}: more than rounding")]
    open_ones = [column.title for _, verdict, column in lines if not verdict.non_inferior]
    if open_ones:
        return [Finding("FAIL", system, where, "codes", count, equal, f"{told}; not shown to be rounding by {_some(open_ones)}")]
    return [Finding("note", system, where, "codes", count, equal, f"{told}: rounding, and no score is worse")]


def _level(system: str, where: str, both: Scores) -> list[Finding]:
    """The output's level over the original's, as a median over utterances: metrics of quality do not hear it."""
    if "gain_db" not in both.columns:
        return []
    was, now, c = both.systems.index("baseline"), both.systems.index("now"), both.columns.index("gain_db")
    common = both.scored[:, was, c] & both.scored[:, now, c]
    if not common.any():
        return []
    a, b = both.num[common, was, c], both.num[common, now, c]
    shift = float(np.median(b - a))
    bad = abs(shift) > LEVEL_MARGIN_DB
    detail = f"moved by {shift:+.2f} dB, margin {LEVEL_MARGIN_DB:g} dB" if bad else ""
    before, after = (f"{float(np.median(x)):+.2f}" for x in (a, b))
    return [Finding("FAIL" if bad else "ok", system, where, "level dB", before, after, detail)]


def _exact(system: str, where: str, both: Scores, columns: Mapping[str, Column], codes: Codes) -> list[Finding]:
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
        before, after = (
            number(float(both.num[common, s, c].sum() / both.den[common, s, c].sum()), replace(column, decimals=4))
            for s in (was, now)
        )
        moved = b - a
        if name == "delay_ms":
            # a constant shift is a lost sample; estimates of generative codecs scatter around 0 instead
            shift = float(np.median(moved))
            way = np.mean(moved > HALF_SAMPLE_MS) if shift > 0 else np.mean(moved < -HALF_SAMPLE_MS)
            bad = abs(shift) > HALF_SAMPLE_MS and way >= 0.8
            detail = f"moved by {shift:+.4g} ms in {way:.0%} of utterances" if bad else ""
        elif (name == "bitrate_entropy" and not codes.same) or (name in RATE_COLUMNS and codes.rounding):
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
            names = both.items.names(np.flatnonzero(both.failed[:, now, c] & ~both.failed[:, was, c] & ran))
            out.append(Finding("FAIL", system, where, f"{name} failures", str(before), str(after), _some(names)))
    return out or [Finding("ok", system, where, "failures", "", "", "none new")]


def alarm_checks(old: pd.DataFrame, new: pd.DataFrame) -> list[Finding]:
    """Validity alarms of all systems at once: those that the baseline did not have fail."""
    known = {_alarm_key(line) for line in validity.marks(validity.alarms(old), old).itertuples(index=False)}
    out = []
    for line in validity.marks(validity.alarms(new), new).itertuples(index=False):
        if _alarm_key(line) not in known:
            where = "/".join((line.task, line.dataset, line.condition))
            out.append(
                Finding("FAIL", line.system, where, f"alarm: {line.alarm}", "no", f"{line.count} of {line.total}", line.meaning)
            )
    return out or [Finding("ok", "all", "", "alarms", "", "", "none new")]


def _alarm_key(line: Any) -> tuple[str, ...]:
    return (line.task, line.dataset, line.condition, line.system, line.alarm)


def _score_lines(
    system: str,
    where: str,
    both: Scores,
    columns: Mapping[str, Column],
    alpha: float,
    draws: int,
    seed: int,
) -> list[tuple[Finding, Verdict, Column]]:
    was, now = both.systems.index("baseline"), both.systems.index("now")
    names = score_names(both.columns, columns)
    if not names:
        return []
    at = [both.columns.index(name) for name in names]
    common = both.scored[:, was, at] & both.scored[:, now, at]
    blocks = [np.where(common, x[:, s, at], 0.0) for s in (was, now) for x in (both.num, both.den)]
    terms = np.stack(blocks, axis=2)  # [n, C, 4]
    ran = common.any(axis=1)
    terms = terms[ran]
    design = both.items.only(np.asarray(ran)).plan("stratified")
    sample = None
    if design.units > 1 and not np.array_equal(terms[:, :, :2], terms[:, :, 2:]):
        sums = draw_sums(terms.reshape(len(terms), -1), design, draws, seed)
        sample = bootstrap.difference(sums.reshape(len(sums), len(names), 4))
    out = []
    for i, name in enumerate(names):
        column, n = columns[name], int(common[:, i].sum())
        if n == 0:
            continue
        total = terms[:, i].sum(axis=0)
        equal = np.array_equal(terms[:, i, :2], terms[:, i, 2:])
        values = np.zeros(1) if equal else np.full(1, np.nan) if sample is None else sample[:, i]
        verdict = judge(
            float(bootstrap.difference(total)),
            values,
            design.df,
            n,
            margin_of(column),
            column.better == "higher",
            alpha,
            scheme=design.scheme,
        )
        finding = Finding(
            "ok",
            system,
            where,
            column.title,
            number(float(bootstrap.ratio(total[:2])), column),
            number(float(bootstrap.ratio(total[2:])), column),
            "",
            verdict,
        )
        out.append((finding, verdict, column))
    return out
