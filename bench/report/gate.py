"""The regression gate: rows of today against rows of a baseline, with an exit code.

What is checked, system by system (codec with its weights):
  presence    every system, utterance and column of the baseline is there, on the same list of speech
  codes       equal bit for bit where code, settings and weights are unchanged; against a baseline of another kind of CPU,
              nine frames of ten, and every score shown to be no worse (rounding flips a code now and then)
  length      missing samples, constant delay, polarity: equal
  level       within 0.5 dB, as a median over utterances
  bit rate    equal to the bit, utterance by utterance (the entropy-coded rate only where the codes are equal)
  failures    no column fails more often than in the baseline
  scores      paired bootstrap over utterances within speakers: a loss is shown (Holm over all score lines, 5 %)
              and a loss beyond the column's margin is not excluded
  alarms      no validity alarm that the baseline did not have

A score line that can neither show a loss nor exclude one beyond the margin is `cannot tell`; it is printed with the
smallest loss that this many utterances show, and fails only with `strict`. With enough utterances for the margins,
no line is undecided, and the rule is the non-inferiority test at the margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError
from bench.metrics import Column
from bench.report.checks import ORDER, Finding, Status, alarm_checks, system_checks
from bench.report.columns import number
from bench.report.text import grid, markdown_table
from bench.stats.frames import groups, tidy
from bench.stats.labels import system_labels
from bench.stats.multiple import holm
from bench.stats.resampling import DRAWS, SEED
from bench.stats.tables import Group
from bench.stats.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class GateResult:
    """Outcome. `table` is for a log, `markdown` for a job summary; exit_code is 0 or 1."""

    findings: tuple[Finding, ...]
    draws: int
    alpha: float

    @property
    def passed(self) -> bool:
        """Whether no finding failed."""
        return not any(finding.status == "FAIL" for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 where all passed, else 1."""
        return 0 if self.passed else 1

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if finding.status == "FAIL")

    @property
    def table(self) -> str:
        """Everything that is not ok, then one line per system; fits a CI log."""
        shown = [finding for finding in self.findings if finding.status != "ok"]
        out = [self._headline(), ""]
        if shown:
            out += [grid(_HEAD, [_line(finding) for finding in shown], 200, left=(0, 1, 2, 3, 6)), ""]
        out += [f"  {system}: {_tally(part)}" for system, part in self._by_system().items()]
        return "\n".join([*out, "", self._rule()]) + "\n"

    @property
    def markdown(self) -> str:
        """The same as GitHub markdown, with every line that passed folded away."""
        shown = [_line(finding) for finding in self.findings if finding.status != "ok"]
        rest = [_line(finding) for finding in self.findings if finding.status == "ok"]
        out = [f"## {self._headline()}", ""]
        out += [markdown_table(_HEAD, shown, left=7), ""] if shown else []
        tallies = [[f"`{system}`", _tally(part)] for system, part in self._by_system().items()]
        out += [markdown_table(("codec", "outcome"), tallies, left=2), ""]
        folded = markdown_table(_HEAD, rest, left=7)
        out += ["<details><summary>Checks that passed</summary>", "", folded, "", "</details>", ""]
        return "\n".join([*out, self._rule()]) + "\n"

    def _headline(self) -> str:
        bad, blind = len(self.failures), sum(f.status == "cannot tell" for f in self.findings)
        word = "Gate passed" if self.passed else "Gate FAILED"
        more = f", {blind} undecided" if blind else ""
        return f"{word}: {len(self.findings)} checks, {bad} failed{more}"

    def _rule(self) -> str:
        return (
            f"Scores: paired bootstrap within speakers, {self.draws:,} draws; a line fails when a loss is shown "
            f"(Holm over all score lines, {self.alpha:.0%}) and one beyond its margin is not excluded."
        )

    def _by_system(self) -> dict[str, list[Finding]]:
        out: dict[str, list[Finding]] = {}
        for finding in sorted(self.findings, key=lambda f: f.system):
            out.setdefault(finding.system, []).append(finding)
        return out


_HEAD = ("outcome", "codec", "task", "check", "baseline", "now", "detail")


def _line(finding: Finding) -> list[str]:
    return [finding.status, finding.system, finding.where, finding.check, finding.before, finding.now, finding.detail]


def _tally(part: Sequence[Finding]) -> str:
    counts = {status: sum(f.status == status for f in part) for status in ORDER}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def check(
    rows: pd.DataFrame,
    baseline: pd.DataFrame,
    columns: Mapping[str, Column],
    margins: Mapping[str, float] | None = None,
    strict: bool = False,
    alpha: float = 0.05,
    draws: int = DRAWS,
    seed: int = SEED,
) -> GateResult:
    """Compare rows with a baseline. margins: overrides of the columns' own, in the columns' unit.

    Raises BenchError where there is nothing to compare.
    """
    import pandas as pd

    if rows.empty or baseline.empty:
        raise BenchError("the gate needs rows and a baseline, and one of them is empty: run the benchmark first")
    columns = {name: replace(column, margin=(margins or {}).get(name, column.margin)) for name, column in columns.items()}
    new, old = _labelled(rows), _labelled(baseline)
    today = {(g.task, g.condition, g.dataset): (g, part) for g, part in groups(new)}
    findings: list[Finding] = []
    pending: list[tuple[Finding, Verdict, Column]] = []
    compared: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    for group, before in groups(old):
        where = _where(group)
        found = today.get((group.task, group.condition, group.dataset))
        if found is None:
            findings.append(Finding("FAIL", "all", where, "presence", "there", "missing", "this task was not run"))
            continue
        if found[0].dataset_sha256 != group.dataset_sha256:
            findings.append(
                Finding(
                    "FAIL",
                    "all",
                    where,
                    "speech list",
                    group.dataset_sha256[:8],
                    found[0].dataset_sha256[:8],
                    "another list of speech: results cannot be compared; renew the baseline if this is meant",
                )
            )
            continue
        for system in dict.fromkeys(before["system"]):
            a, b = before[before["system"] == system], found[1][found[1]["system"] == system]
            if b.empty:
                findings.append(Finding("FAIL", system, where, "presence", "there", "missing", "no rows of this codec"))
                continue
            facts, lines = system_checks(system, where, a, b, columns, alpha, draws, seed)
            findings += facts
            pending += lines
            compared.append((a, b))
        for system in sorted(set(found[1]["system"]) - set(before["system"])):
            findings.append(Finding("note", system, where, "presence", "missing", "there", "new: not in the baseline"))
    if compared:
        findings += alarm_checks(*(pd.concat(parts).assign(weights_sha256="") for parts in zip(*compared, strict=True)))
    findings += _scores_decided(pending, alpha, strict)
    findings.sort(key=lambda f: (ORDER[f.status], f.where, f.system))
    return GateResult(tuple(findings), draws, alpha)


def _where(group: Group) -> str:
    return f"{group.task}/{group.dataset}/{group.condition}"


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Tidy rows with `system` labels that hold no weight hashes: renewed weights are the same entry, changed."""
    out = tidy(rows)
    return out.assign(system=system_labels(out.assign(weights_sha256="")))


def _scores_decided(pending: Sequence[tuple[Finding, Verdict, Column]], alpha: float, strict: bool) -> list[Finding]:
    """Holm over all score lines, then the rule of the module's docstring."""
    p = holm([1.0 if np.isnan(v.p_worse) else v.p_worse for _, v, _ in pending])
    out = []
    for (finding, verdict, column), adjusted in zip(pending, p, strict=True):
        fine = replace(column, decimals=column.decimals + 2)
        detail = (
            f"{number(verdict.difference, fine)} [{number(verdict.low, fine)}, {number(verdict.high, fine)}], "
            f"margin {number(verdict.margin, fine)}"
        )
        status: Status = "ok"
        if verdict.n < 2 and verdict.difference != 0:
            status, detail = "cannot tell", f"{detail}; one utterance"
        elif verdict.non_inferior:
            detail += f", {verdict.word if verdict.word != 'worse' else 'within margin'}"
        elif adjusted <= alpha:
            status, detail = "FAIL", f"{detail}, worse (p {adjusted:.2g} by Holm)"
        else:
            status = "cannot tell"
            detail += f", sees losses from {number(verdict.visible, fine)}"
        if status == "cannot tell" and strict:
            status, detail = "FAIL", f"{detail}; strict"
        out.append(replace(finding, status=status, detail=f"{detail}, n {verdict.n}"))
    return out
