"""Leaderboards in the forms of the Hugging Face hub: `model-index` for a model's card, `board` for leaderboard Spaces.

model-index: YAML, one document for each system, ready to stand between the `---` of its card. Each score is a metric of type
`column`, in the unit that tables show, with its 95 % interval, n and failures as arguments. board: one JSON object a line for
each system, `{"config": {"model_name": ...}, "results": {task: {metric: score}}}`; boards take one file each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.metrics import Column
from bench.report.columns import column_of, score_names
from bench.report.summary import Cell, Summary

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TASK_TYPE = "audio-to-audio"
"""The hub's own name of what a codec does."""


def model_index(summaries: Sequence[Summary], columns: Mapping[str, Column]) -> str:
    """YAML documents, one for each system that has a score."""
    from huggingface_hub import ModelCardData

    documents = []
    for system in _systems(summaries):
        found = [one for summary in summaries for one in _results(summary, system, columns)]
        if found:
            documents.append(f"---\n{ModelCardData(model_name=system, eval_results=found).to_yaml()}\n")
    return "".join(documents)


def board(summaries: Sequence[Summary], columns: Mapping[str, Column], digests: Mapping[str, str]) -> str:
    """JSON objects, one a line for each system that has a score. digests: system -> sha256 of its weights."""
    lines = []
    for system in _systems(summaries):
        results: dict[str, dict[str, float]] = {}
        for summary in summaries:
            for column, cell in _scored(summary, system, columns):
                results.setdefault(_task(summary), {})[column.name] = _shown(cell.value, column)
        if results:
            config = {"model_name": system, "model_sha": digests.get(system, ""), "model_dtype": "float32"}
            lines.append(json.dumps({"config": config, "results": results}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def _systems(summaries: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(system for summary in summaries for system in summary.systems))


def _scored(summary: Summary, system: str, columns: Mapping[str, Column]) -> Iterator[tuple[Column, Cell]]:
    for name in score_names(summary.columns, columns):
        cell = summary.cells.get((system, name))
        if cell is not None and cell.n and math.isfinite(cell.value):
            yield column_of(name, columns), cell


def _results(summary: Summary, system: str, columns: Mapping[str, Column]) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    group = summary.group
    name, _, subset = group.dataset.partition("#")
    about = {"condition": group.condition or "clean", "utterances": summary.utterances, "speakers": summary.speakers,
             "list_sha256": group.dataset_sha256, "synthetic": summary.synthetic, "partial": summary.partial}  # fmt: skip
    rate = summary.kbps(system)
    for column, cell in _scored(summary, system, columns):
        told: dict[str, Any] = {"better": column.better, "unit": column.unit, "n": cell.n, "failed": cell.failed}
        if math.isfinite(cell.high - cell.low):
            told |= {"low": _shown(cell.low, column), "high": _shown(cell.high, column)}
        if math.isfinite(rate):
            told["kbps"] = float(f"{rate:.4g}")
        yield EvalResult(
            task_type=TASK_TYPE, task_name=group.task,
            dataset_type=name, dataset_name=group.dataset, dataset_split=subset or None, dataset_args=about,
            metric_type=column.name, metric_name=column.title, metric_value=_shown(cell.value, column),
            metric_args=told,
        )  # fmt: skip


def _task(summary: Summary) -> str:
    group = summary.group
    return ", ".join([group.task, group.dataset, *([group.condition] if group.condition not in ("", "clean") else [])])


def _shown(value: float, column: Column) -> float:
    """In the unit of the table, with one digit more than it prints."""
    return round(value * column.scale, column.decimals + 1)
