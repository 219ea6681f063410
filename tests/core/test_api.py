"""The bench from Python: the examples of docs/python.md run, importing costs nothing, failures are typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bench
from bench import metrics
from bench.errors import BadAudio, BenchError, UnknownName
from bench.metrics import MetricFailure
from bench.results import export

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """All examples of the page as one script, which does not guard its start."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    folder = tmp_path_factory.mktemp("python")
    more = 'for name in ("csv", "json", "latex", "html", "markdown"):\n    open(f"table.{name}", "w").write(result.table(name))\n'
    (folder / "page.py").write_text("\n".join([*blocks, more]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "page.py"], cwd=folder, env=environment, capture_output=True, text=True)
    done.folder = folder  # type: ignore[attr-defined]
    return done


def test_the_examples_of_the_page_run(example: subprocess.CompletedProcess[str]) -> None:
    assert example.returncode == 0, example.stderr
    assert "16000 16000 128.0 kbps" in example.stdout and "unknown metric 'pesk'. Did you mean: " in example.stdout
    assert re.search(r"si_sdr +-\d", example.stdout)  # mu-law is worse than identity


def test_every_format_holds_the_same_table(example: subprocess.CompletedProcess[str]) -> None:
    import pandas as pd

    folder = example.folder  # type: ignore[attr-defined]
    csv = pd.read_csv(folder / "table.csv")
    rows = pd.DataFrame(json.loads((folder / "table.json").read_text()))
    assert list(csv.columns) == list(rows.columns) and np.allclose(csv["value"], rows["value"].astype(float), equal_nan=True)
    stoi = csv[(csv["system"] == "mulaw@128") & (csv["column"] == "stoi")]["value"].item()
    for name in ("latex", "html", "markdown"):
        assert f"{stoi:.3f}" in (folder / f"table.{name}").read_text()
    assert (folder / "table.latex").read_text().startswith(r"\begin{tabular}")


def test_importing_is_free() -> None:
    code = "import sys, time; t = time.perf_counter(); import bench; print(time.perf_counter() - t, 'numpy' in sys.modules)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split() for _ in range(3)]
    assert min(float(seconds) for seconds, _ in runs) < 0.05 and {heavy for _, heavy in runs} == {"False"}


def test_score_is_what_the_metric_says() -> None:
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 16000).astype(np.float32)
    decoded = wave + rng.normal(0, 0.01, 16000).astype(np.float32)
    found = bench.score(wave, decoded, 16000, ["si_sdr"])["si_sdr"]
    metric = metrics.find("si_sdr")
    signals = [metrics.Signal(one, metric.rate_hz) for one in (wave, decoded)]
    assert found == metric.score(*signals)["si_sdr"]
    cut = bench.score(wave, np.concatenate([decoded, decoded]), 16000, ["si_sdr"])
    assert cut["si_sdr"] == found


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"decoded": np.zeros((2, 100), np.float32)}, BadAudio, "decoded: expected mono"),
        ({"reference": np.zeros(0, np.float32)}, BadAudio, "reference: is empty"),
        ({"rate_hz": 0}, BadAudio, "rate is a whole number"),
        ({"metrics": ["stoy"]}, UnknownName, "stoi"),
        ({"metrics": []}, BenchError, "at least one"),
    ],
)
def test_what_the_caller_must_mend(change: dict, error: type[Exception], told: str) -> None:
    wave = np.full(16000, 0.1, np.float32)
    with pytest.raises(error, match=told):
        bench.score(**{"reference": wave, "decoded": wave, "rate_hz": 16000, **change})


def test_a_failure_is_no_number() -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    found = bench.score(wave, np.zeros(16000, np.float32), 16000, ["stoi", "pesq_wb"])
    assert all(isinstance(value, MetricFailure) for value in found.values()) and list(found) == ["stoi", "pesq_wb"]


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError):
        _ = bench.scores
    with pytest.raises(UnknownName):
        bench.load_codec("opos@6")
    with pytest.raises(UnknownName, match="latex"):
        export.check("latecs")


def test_adapters_find_what_they_need_by_its_present_and_by_its_former_name() -> None:
    from bench.codec import Codec
    from bench.codes import Codes, Tokens

    assert (bench.Codec, bench.Codes, bench.Tokens) == (Codec, Codes, Tokens)
