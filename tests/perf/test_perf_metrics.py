"""Metrics against the tools they reproduce, in CPU time of one run: the same audio, the same thread, the same scores.

A bench compares several systems on one reference, so every reference here has several degraded versions. What depends on
the reference alone is computed once by us and every time by the tools, as their entry points do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from bench.metrics import Signal, find, find_all
from bench.metrics.warpq import PACKAGE152, cepstra, score, warpq

FOLDER = Path(__file__).resolve().parents[2] / "bench" / "data" / "embedded"
RATE_HZ = 16_000
Pairs = list[tuple[np.ndarray, list[np.ndarray]]]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Three embedded clips, each with six distortions: float32 [T] at 16 kHz."""
    found = sorted(FOLDER.rglob("*.flac"))
    made = []
    for path in (found[4], found[len(found) // 2], found[-1]):
        wave, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE_HZ
        noise = np.random.default_rng(0).normal(0, 1, wave.size).astype(np.float32)
        coarse = np.round(wave * 24) / 24
        muffled = np.convolve(wave, np.hanning(9) / np.hanning(9).sum(), "same")
        clipped = np.clip(wave, -0.1, 0.1)
        soft = [coarse, muffled, wave + 0.01 * noise, np.tanh(4 * wave) / 4, clipped, wave + 0.003 * noise]
        made.append((wave, [np.clip(x, -1, 1).astype(np.float32) for x in soft]))
    return made


def _cpu(run: Callable[[], Any], rounds: int = 3, warm_up: bool = True) -> float:
    """Least CPU seconds of `run` over some rounds, after one to warm up."""
    if warm_up:
        run()
    spent = []
    for _ in range(rounds):
        before = time.process_time()
        run()
        spent.append(time.process_time() - before)
    return min(spent)


def _report(benchmark: Any, ours: Callable[[], Any], ours_s: float, theirs_s: float, audio_s: float, least: float) -> None:
    benchmark.extra_info |= {
        "ours_cpu_ms_per_audio_s": round(1000 * ours_s / audio_s, 2),
        "theirs_cpu_ms_per_audio_s": round(1000 * theirs_s / audio_s, 2),
        "ratio": round(theirs_s / ours_s, 1),
    }
    print(f"\n{benchmark.name}: {json.dumps(benchmark.extra_info)}")
    benchmark.pedantic(ours, rounds=1, iterations=1)
    assert theirs_s >= least * ours_s, f"{theirs_s / ours_s:.1f} times faster, {least} wanted"


def _seconds(pairs: Pairs) -> float:
    return sum(deg.size for _, degraded in pairs for deg in degraded) / RATE_HZ


def test_warpq_against_its_package(benchmark: Any, pairs: Pairs) -> None:
    # The package uses a name that numpy 2 has dropped, and imports a library for its plots alone.
    np.lib.pad = np.pad  # type: ignore[attr-defined]
    sys.modules.setdefault("seaborn", ModuleType("seaborn"))
    from warpq.core import warpqMetric

    package = warpqMetric(n_jobs=1)

    def theirs() -> list[float]:
        return [package.evaluate(ref, deg, RATE_HZ)["raw_warpq_score"] for ref, degraded in pairs for deg in degraded]

    def ours() -> list[float]:
        out = []
        for ref, degraded in pairs:
            once = cepstra(ref)
            out += [score(once, cepstra(deg), PACKAGE152) for deg in degraded]
        return out

    assert ours() == pytest.approx(theirs(), abs=0.002)
    assert warpq(pairs[0][0], pairs[0][1][0], PACKAGE152) == ours()[0]
    _report(benchmark, ours, _cpu(ours), _cpu(theirs, 2), _seconds(pairs), least=10)


def _harvest_way(ref: np.ndarray, deg: np.ndarray) -> float:
    """MCD and F0 error as VERSA computes them: Harvest on both sides every time, aperiodicity unused, a loop over bins."""
    import pyworld

    from bench.metrics.world import _transform

    envelopes, pitches = [], []
    for wave in (ref, deg):
        samples = wave.astype(np.float64)
        f0, times = pyworld.harvest(samples, RATE_HZ, f0_floor=40.0, f0_ceil=800.0, frame_period=5.0)
        envelope = pyworld.cheaptrick(samples, f0, times, RATE_HZ)
        pyworld.d4c(samples, f0, times, RATE_HZ)
        power = np.zeros(len(envelope))
        for k in range(envelope.shape[1]):
            power += envelope[:, k] * (2.0 if 0 < k < envelope.shape[1] - 1 else 1.0)
        envelopes.append(np.stack([np.log(frame) @ _transform(envelope.shape[1]) for frame in envelope]))
        pitches.append(f0)
    return float(np.mean(np.linalg.norm(envelopes[0][:, 1:] - envelopes[1][:, 1:], axis=1)))


def test_f0_and_mcd_against_versas_way(benchmark: Any, pairs: Pairs) -> None:
    world = find("mcd")
    assert world.analyse is not None

    def ours() -> list[Any]:
        out = []
        for ref, degraded in pairs:
            signals = [Signal(wave, RATE_HZ) for wave in (ref, *degraded)]
            for signal, found in zip(signals, world.analyse(signals), strict=True):  # type: ignore[misc]
                signal.analysis = found  # type: ignore[assignment]
            out += [world.score(signals[0], signal) for signal in signals[1:]]
        return out

    def theirs() -> list[float]:
        return [_harvest_way(ref, deg) for ref, degraded in pairs for deg in degraded]

    _harvest_way(pairs[0][0], pairs[0][1][0])
    _report(benchmark, ours, _cpu(ours), _cpu(theirs, 1, warm_up=False), _seconds(pairs), least=20)


def _packages(pairs: Pairs) -> list[dict[str, float]]:
    """Every package's own entry point, file by file; Moonshine apart, since it brings its own onnxruntime."""
    import pesq
    import pystoi
    import torch
    from distillmos.sqa import ConvTransformerSQAModel
    from resemblyzer import VoiceEncoder, preprocess_wav
    from speechmos import dnsmos

    torch.set_num_threads(1)
    quality, voices = ConvTransformerSQAModel().eval(), VoiceEncoder("cpu", verbose=False)
    out = []
    for ref, degraded in pairs:
        for deg in degraded:
            with torch.no_grad():
                mos = float(quality(torch.from_numpy(deg)[None]))
            vectors = [voices.embed_utterance(preprocess_wav(wave, RATE_HZ)) for wave in (ref, deg)]
            out.append(
                {
                    "distillmos": mos,
                    "dnsmos_p808": float(dnsmos.run(deg, RATE_HZ)["p808_mos"]),
                    "pesq_wb": pesq.pesq(RATE_HZ, ref, deg, "wb"),
                    "stoi": float(pystoi.stoi(ref, deg, RATE_HZ)),
                    "estoi": float(pystoi.stoi(ref, deg, RATE_HZ, extended=True)),
                    "sim_resemblyzer": float(vectors[0] @ vectors[1]),
                }
            )
    return out


def _moonshine_package_s(pairs: Pairs, folder: Path) -> float:
    """CPU seconds of the package's transcribe_wav on every reference and degraded file of every pair."""
    paths = []
    for i, (ref, degraded) in enumerate(pairs):
        for j, deg in enumerate(degraded):
            for side, wave in (("ref", ref), ("deg", deg)):
                paths.append(str(folder / f"{i}_{j}_{side}.wav"))
                soundfile.write(paths[-1], wave, RATE_HZ, subtype="PCM_16")
    script = (
        "import sys, time, pathlib, moonshine_cpp as m\n"
        "model = m.MoonshineModel(model_dir_path=str(pathlib.Path(m.__file__).parent / 'models' / 'base-en'))\n"
        "model.transcribe_wav(sys.argv[1]); start = time.process_time()\n"
        "[model.transcribe_wav(p) for p in sys.argv[1:]]; print(time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True, env=os.environ)
    return float(done.stdout.split()[-1])


def test_offline_set_against_entry_points(benchmark: Any, pairs: Pairs, tmp_path: Path) -> None:
    pairs = [(ref, degraded[:2]) for ref, degraded in pairs[:2]]
    columns = ["distillmos", "dnsmos_p808", "pesq_wb", "stoi", "estoi", "sim_resemblyzer", "dwer", "dcer"]

    def ours() -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = [{} for _, degraded in pairs for _ in degraded]
        for metric in find_all(columns):
            refs = [Signal(ref, RATE_HZ) for ref, _ in pairs]
            degs = [[Signal(deg, RATE_HZ) for deg in degraded] for _, degraded in pairs]
            if metric.analyse is not None:
                signals = [*(refs if not metric.one_sided else []), *(s for some in degs for s in some)]
                for signal, found in zip(signals, metric.analyse(signals), strict=True):
                    signal.analysis = found  # type: ignore[assignment]
            scored = [metric.score(ref, deg) for ref, some in zip(refs, degs, strict=True) for deg in some]
            for row, values in zip(out, scored, strict=True):
                row.update(values)
        return out

    for mine, wanted in zip(ours(), _packages(pairs), strict=True):
        assert {name: mine[name] for name in wanted} == pytest.approx(wanted, abs=2e-3)
    theirs_s = _cpu(lambda: _packages(pairs), 1) + _moonshine_package_s(pairs, tmp_path)
    _report(benchmark, ours, _cpu(ours, 2), theirs_s, _seconds(pairs), least=3)


@pytest.mark.parametrize("name", ["pesq_wb", "stoi", "dnsmos_p808", "distillmos", "sim_resemblyzer", "dwer", "warpq", "mcd"])
def test_cost_of_one_signal(benchmark: Any, pairs: Pairs, name: str) -> None:
    metric, (ref, degraded) = find(name), pairs[0]
    benchmark.extra_info["audio_s"] = ref.size / RATE_HZ
    first = Signal(ref, RATE_HZ)
    if metric.analyse is not None:
        [first.analysis] = metric.analyse([first])  # type: ignore[list-item]
    benchmark(lambda: metric.score(first, Signal(degraded[0], RATE_HZ)))


def test_batches_cost_no_more_than_singles(benchmark: Any, pairs: Pairs) -> None:
    metric = find("dwer")
    assert metric.analyse is not None
    signals = [Signal(deg, RATE_HZ) for _, degraded in pairs for deg in degraded]
    together = _cpu(lambda: metric.analyse(signals), 1)  # type: ignore[misc]
    alone = _cpu(lambda: [metric.analyse([signal]) for signal in signals], 1)  # type: ignore[misc]
    benchmark.extra_info["ratio"] = round(alone / together, 2)
    benchmark.pedantic(lambda: metric.analyse(signals[:1]), rounds=1)  # type: ignore[misc]
    assert together < alone
