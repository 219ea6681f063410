"""Validation of a recipe by the bench's own metrics, on voices that training does not hear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.metrics import Analysis, Metric, MetricFailure, Signal, Value
    from bench.speech import Utterance
    from bench.train.recipe import Recipe


class Validator:
    """Scores of `recipe.reconstruct` over some utterances: the mean of every column of the metrics named.

    metrics: names of metrics or of their columns ("stoi", "distillmos", ...). The first column with a direction is also
    given as "quality", by which the loop keeps its best weights. seconds: longest stretch heard.
    """

    def __init__(
        self, utterances: Sequence[Utterance], metrics: Sequence[str], rate_hz: int = 16000, seconds: float = 10.0
    ) -> None:
        from bench.metrics import Signal, find_all

        if not utterances:
            raise BenchError("nothing to validate on; set data.held_out, or run.validate_every_s = 0")
        self.rate_hz = rate_hz
        self.metrics: list[Metric] = find_all(metrics)
        waves = [(u.read_reference(rate_hz)[0][: int(seconds * rate_hz)], u) for u in utterances]
        self.references = [Signal(wave, rate_hz, text=u.text, language=u.language) for wave, u in waves]
        self.found = {metric.name: _analysed(metric, self.references) for metric in self.metrics}

    def __call__(self, recipe: Recipe) -> dict[str, float]:
        """Column -> mean over the utterances; ratios such as WER over all words together. Failures are left out."""
        from bench.metrics import MetricFailure, Ratio, Signal

        decoded = [Signal(recipe.reconstruct(ref.wave), self.rate_hz, language=ref.language) for ref in self.references]
        scores: dict[str, float] = {}
        for metric in self.metrics:
            columns: dict[str, list[Value]] = {}
            found = zip(self.found[metric.name], _analysed(metric, decoded), strict=True)
            for ref, deg, (of_ref, of_deg) in zip(self.references, decoded, found, strict=True):
                if isinstance(of_ref, MetricFailure) or isinstance(of_deg, MetricFailure):
                    continue
                ref.analysis, deg.analysis = of_ref, of_deg
                for name, value in metric.score(ref, deg).items():
                    if not isinstance(value, MetricFailure):
                        columns.setdefault(name, []).append(value)
            for name, values in columns.items():
                ratios = [v for v in values if isinstance(v, Ratio)]
                if ratios:
                    scores[name] = sum(r.num for r in ratios) / max(sum(r.den for r in ratios), 1e-9)
                else:
                    scores[name] = float(np.mean([v for v in values if isinstance(v, float | int)]))
            for column in metric.columns:
                if "quality" not in scores and column.name in scores and column.better in ("higher", "lower"):
                    scores["quality"] = scores[column.name] * (1.0 if column.better == "higher" else -1.0)
        return scores


def _analysed(metric: Metric, signals: Sequence[Signal]) -> Sequence[Analysis | MetricFailure]:
    return metric.analyse(signals) if metric.analyse is not None else [{} for _ in signals]
