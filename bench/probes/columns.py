"""Columns of the probes."""

from __future__ import annotations

from bench.metrics import Column

COLUMNS = {
    column.name: column
    for column in (
        Column("probe_wer", "WER of the probe", "%", "lower", 0.0, scale=100.0, decimals=1),
        Column("probe_cer", "CER of the probe", "%", "lower", 0.0, scale=100.0, decimals=1),
        Column("probe_er", "error rate of the probe", "%", "lower", 0.0, 1.0, scale=100.0, decimals=1),
        Column("probe_seed_sd", "sd over seeds", "%", "neither", 0.0, scale=100.0, decimals=1),
        Column("probe_fold_sd", "sd over folds", "%", "neither", 0.0, scale=100.0, decimals=1),
        Column("probe_params", "probe parameters", "M", "neither", 0.0, decimals=2),
        Column("probe_train_s", "training time", "s", "neither", 0.0, decimals=0),
        Column("probe_epoch", "best epoch", "", "neither", 0.0, decimals=0),
    )
}
FACTS = {name: column for name, column in COLUMNS.items() if column.better == "neither"}
"""What is told of a probe beside its errors."""
