"""DNSMOS, DistillMOS and Resemblyzer: golden values, batches, failures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from bench.metrics import MetricFailure, Signal, find
from bench.metrics.distillmos import NETWORK as DISTILLMOS
from bench.metrics.distillmos import SEGMENT, distillmos, segments, up_to_last_sound
from bench.metrics.dnsmos import p808, p835, windows
from bench.metrics.networks import Batch
from bench.metrics.pdnsmos import pdnsmos
from bench.metrics.sim_resemblyzer import NETWORK as RESEMBLYZER
from bench.metrics.sim_resemblyzer import embed, inner_product, mean_embedding, partial_starts, partials, preprocess

SHORT = ("ls84_04", "ls84_04__noise5", "ls84_09__melgl", "ls84_09_short0p2s", "synth_glide", "noise2s")
EVERY = SHORT + ("ls251", "ls251__noise20", "ls84_04__lp3k4", "ls84_09__gain-6", "ls84_09__delay10ms")


@pytest.mark.parametrize("name", EVERY)
def test_dnsmos_p808_golden(name, clip, golden):
    assert p808(clip(name)) == pytest.approx(golden("nonintrusive")[name]["dnsmos_p808"], abs=1e-3)


@pytest.mark.parametrize("name", ["ls84_09__melgl", "ls84_04__noise5", "ls84_09__gain-6"])
def test_pdnsmos_golden(name, clip, golden):
    assert pdnsmos(clip(name))["pdnsmos_ovrl"] == pytest.approx(golden("nonintrusive")[name]["pdnsmos_ovrl"], abs=1e-3)


@pytest.mark.parametrize("name", ["ls84_09__melgl", "ls84_04__noise5", "noise2s", "ls251"])
def test_dnsmos_p835_golden(name, clip, golden):
    wanted = golden("nonintrusive")[name]
    assert p835(clip(name)) == pytest.approx({k: wanted[k] for k in ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")}, abs=1e-3)


@pytest.mark.parametrize("name", ["ls84_09__melgl", "noise2s", "ls84_09_short0p2s", "ls251__noise20"])
def test_distillmos_golden(name, clip, golden):
    assert distillmos(clip(name)) == pytest.approx(golden("nonintrusive")[name]["distillmos"], abs=1e-3)


def test_segments_and_windows_have_one_length(voice):
    assert segments(voice).shape == (1, SEGMENT)
    long = np.tile(voice, 6)
    assert segments(long).shape == (6, SEGMENT)  # 12 s: 4.32 s of room, at most 1 s between starts
    assert np.abs(segments(long)).max(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert windows(long).shape[1] == windows(voice).shape[1] == 144_160


def _features(*segments_of):
    """Features by the shortcut, and by the whole network, of segments in one batch."""
    rows = [up_to_last_sound(segment) for segment in segments_of]
    sizes = tuple(len(row) for row in rows)
    padded = np.stack([np.pad(row, (0, max(sizes) - len(row))) for row in rows])
    model = DISTILLMOS.on()
    with torch.inference_mode():
        whole = model.network.cnn(torch.from_numpy(np.stack(segments_of))).permute(0, 2, 1)
        return model.features(Batch(torch.from_numpy(padded), sizes)), whole


def test_distillmos_shortcut_through_silence_changes_nothing(voice):
    waves = (voice[:1600], voice, np.tile(voice, 3), np.tile(voice, 4)[:-10_000], np.tile(voice, 5))
    cut = [segments(wave)[0] for wave in waves]
    for segment in cut:
        assert torch.allclose(*_features(segment), atol=1e-4)
    assert torch.allclose(*_features(*cut[:3]), atol=1e-4)


def test_distillmos_scores_a_clip_that_starts_with_silence(voice):
    """The first segments hold nothing but zeros: their features are those of silence, as the whole network gives them."""
    assert torch.allclose(*_features(np.zeros(SEGMENT, np.float32)), atol=1e-4)
    padded = np.concatenate([np.zeros(14 * 16_000, np.float32), voice])
    first, *_, last = segments(padded)
    assert not first.any() and last.any()
    assert 1.0 <= distillmos(padded) <= 5.0


@pytest.mark.parametrize("name", [n for n in EVERY if n not in ("noise2s", "synth_glide")])
def test_resemblyzer_golden(name, clip, golden):
    wanted = golden("nonintrusive")[name]
    assert preprocess(clip(name)).size == wanted["resem_len_after_preproc"]
    if "resem_secs_vs_ref" in wanted:
        original = embed(clip(name.split("__")[0]))
        assert inner_product(embed(clip(name)), original) == pytest.approx(wanted["resem_secs_vs_ref"], abs=1e-4)
    for other, values in golden("nonintrusive")["_resem_embed_first8"].items():
        if other == name:
            assert embed(clip(name))[:8] == pytest.approx(np.array(values), abs=1e-4)


def test_resemblyzer_across_speakers(clip, golden):
    wanted = golden("nonintrusive")["_cross"]
    vectors = {name: embed(clip(name)) for name in ("ls251", "ls84_04", "ls84_09")}
    for pair, value in wanted.items():
        first, second = pair.removeprefix("resem_").split("_vs_")
        assert inner_product(vectors[first], vectors[second]) == pytest.approx(value, abs=1e-4)


def _embed_speech(speech):
    with torch.inference_mode():
        return mean_embedding(RESEMBLYZER.on()(torch.from_numpy(partials(speech))))["embedding"]


def test_resemblyzer_pairs_of_published_audio(reference):
    folder = reference / "secs"
    pairs = {
        p["deg"].split("/")[-1].removesuffix(".wav"): p for p in json.loads((folder / "scores.json").read_text())["pairs"][:1]
    }
    stored = np.load(folder / "embeddings.npz")
    for name, pair in pairs.items():
        ref, deg = (soundfile.read(folder / f"{name}_{side}.wav", dtype="float32")[0] for side in ("ref", "deg"))
        speech = preprocess(ref)
        assert (ref.size, speech.size) == (pair["n_ref"], pair["n_ref_after"])
        assert len(partial_starts(speech.size)) == pair["partials_ref"]
        assert embed(ref) == pytest.approx(stored[f"{name}__ref"], abs=1e-4)
        assert inner_product(embed(ref), embed(deg)) == pytest.approx(pair["secs"], abs=1e-4)
    made = np.load(folder / "synthetic.npz")
    assert partial_starts(48_000) == [0, 77, 154]
    assert inner_product(*(_embed_speech(made[name]) for name in "xy")) == pytest.approx(0.793528, abs=1e-4)


@pytest.mark.parametrize("name", ["distillmos", "dnsmos_p808", "sim_resemblyzer"])
def test_batch_equals_single_and_failures_stay_in_place(name, voice):
    metric = find(name)
    signals = [Signal(w, 16_000) for w in (voice, np.zeros_like(voice), voice[::-1].copy(), voice[:100])]
    batch = metric.analyse(signals)
    singles = [metric.analyse([signal])[0] for signal in signals]
    for one, other in zip(batch, singles, strict=True):
        if isinstance(one, MetricFailure):
            assert one.kind == other.kind
        else:
            assert {k: pytest.approx(v, abs=0) for k, v in other.items()} == one
    assert [getattr(found, "kind", None) for found in batch] == [None, "silence", None, "too_short"]
    scored = metric.score(Signal(voice, 16_000), signals[1])
    assert all(isinstance(v, MetricFailure) and v.kind == "silence" for v in scored.values())


def test_level_laws(voice):
    assert distillmos(0.5 * voice) == pytest.approx(distillmos(voice), abs=1e-3)
    assert inner_product(embed(voice), embed(0.2 * voice)) < 1.0 + 1e-6


def test_wrong_rate_is_a_failure(voice):
    for name in ("distillmos", "dnsmos_p835", "sim_resemblyzer", "stoi", "pesq_wb", "si_sdr", "dwer"):
        metric = find(name)
        scored = metric.score(Signal(voice, 8_000), Signal(voice, 8_000))
        assert {v.kind for k, v in scored.items() if k not in ("wer", "cer")} == {"rate"}
