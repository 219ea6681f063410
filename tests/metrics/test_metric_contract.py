"""What every metric promises: names, columns, documentation, light listing, profiles that exist."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from bench import metrics
from bench.metrics import MetricFailure, Signal

FIRST_PARTY = [name for name in sorted({metrics.find(c).name for c in metrics.names()}) if metrics.find(name).name == name]
NEEDS_WEIGHTS = {"utmos", "sim_wavlm", "sim_ecapa", "whisper_small", "whisper_large"}


@pytest.mark.parametrize("name", FIRST_PARTY)
def test_documented(name):
    module = importlib.import_module(metrics.module_of(metrics.find(name)))
    text = module.__doc__ or ""
    for word in ("Definition", "Range", "Rate", "Level", "Length", "Version"):
        assert word.lower() in text.lower(), f"{module.__name__} does not state its {word}"


@pytest.mark.parametrize("name", [n for n in FIRST_PARTY if n not in NEEDS_WEIGHTS])
def test_every_column_gets_a_value_or_a_typed_failure(name, voice):
    metric = metrics.find(name)
    broken = voice.copy()
    broken[7] = np.inf
    ok = Signal(voice, metric.rate_hz, text="a b c")
    for wave in (np.zeros_like(voice), broken, voice[:1], voice[:0]):
        bad = Signal(wave.astype(np.float32), metric.rate_hz, text="a b c")
        try:
            scored = metric.score(ok, bad)
        except MetricFailure as failure:
            assert failure.kind
            continue
        assert set(scored) == {column.name for column in metric.columns}
        for found in scored.values():
            numbers = () if isinstance(found, MetricFailure) else np.atleast_1d(getattr(found, "num", found))
            assert all(np.isfinite(number) for number in numbers)


@pytest.mark.parametrize("name", [n for n in FIRST_PARTY if n not in NEEDS_WEIGHTS])
def test_weights_are_files_that_are_here(name):
    paths = metrics.find(name).weights()
    assert all(path.is_file() for path in paths) and len(set(paths)) == len(paths)


def test_every_metric_with_a_network_names_its_weights():
    networks = ("distillmos", "dnsmos_p808", "dnsmos_p835", "pdnsmos", "sim_resemblyzer", "error_rates", "f0_swift", "visqol")
    assert all(metrics.find(name).weights() for name in networks)


def test_naming_weights_imports_nothing_heavy():
    names = [name for name in FIRST_PARTY if name not in NEEDS_WEIGHTS]
    script = (
        f"import sys; from bench import metrics; [metrics.find(name).weights() for name in {names}]; "
        "print([m for m in ('torch', 'librosa', 'onnxruntime', 'transformers', 'numba', 'scipy', 'visqol') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(out.strip()) == []


def test_listing_imports_nothing_heavy():
    script = (
        "import sys; from bench import metrics; metrics.names(); "
        "print([m for m in ('torch', 'librosa', 'onnxruntime', 'transformers', 'numba', 'scipy', 'visqol') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(out.strip()) == []


@pytest.mark.parametrize("profile", ["embedded", "paper-focalcodec", "paper-freecodec", "paper-funcodec"])
def test_profiles_name_columns_that_exist(profile):
    from bench.tasks.cards import FOLDER

    card = tomllib.loads((FOLDER / "profiles" / f"{profile}.toml").read_text())
    known = metrics.columns()
    assert card["columns"] and all(column in known for column in card["columns"])
    hub_only = {c.name for name in NEEDS_WEIGHTS for c in metrics.find(name).columns}
    if profile == "embedded":
        assert not hub_only & set(card["columns"]), "the embedded profile runs without a hub"


def test_the_papers_columns_follow_their_definitions():
    from bench.tasks.cards import FOLDER

    focal = tomllib.loads((FOLDER / "profiles" / "paper-focalcodec.toml").read_text())
    assert "dnsmos_p808" in focal["columns"] and "dnsmos_ovrl" not in focal["columns"]
    assert {"sim", "dwer_whisper_small", "utmos"} <= set(focal["columns"])
    free = tomllib.loads((FOLDER / "profiles" / "paper-freecodec.toml").read_text())
    assert {"warpq", "sim_resemblyzer", "dwer_whisper_large", "f0_pcc"} <= set(free["columns"])
    assert metrics.columns()["warpq"].better == "lower"
