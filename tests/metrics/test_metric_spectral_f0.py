"""Spectral distances, F0, WORLD analysis and ViSQOL: golden values, laws, failures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from bench.metrics import MetricFailure, Ratio, Signal, find
from bench.metrics._tracks import all_frames, both_voiced, correlation
from bench.metrics.f0 import dio, harvest, swift
from bench.metrics.spectral import distances, mrstft
from bench.metrics.visqol import visqol
from bench.metrics.vnsim import vnsim
from bench.metrics.world import distance, mel_cepstra, warp

CLIPS = [f"{base}__{tail}" for base in ("ls251", "ls84_04") for tail in ("melgl", "noise5", "mulaw6", "lp3k4")]


def test_spectral_golden(clip, golden):
    for name, row in golden("intrusive").items():
        found = distances(clip(name.split("__")[0]), clip(name))
        assert found["mel_distance"] == pytest.approx(row["focal_meld"], rel=1e-3, abs=1e-3), name
        assert found["stft_distance"] == pytest.approx(row["focal_stftd"], rel=1e-3, abs=1e-3), name
        wanted = row["auraloss_mrstft"]
        assert mrstft(clip(name.split("__")[0]), clip(name)) == pytest.approx(wanted, rel=1e-3, abs=1e-6), name


def test_spectral_laws(voice):
    assert distances(voice, voice) == {"mel_distance": 0.0, "stft_distance": 0.0} and mrstft(voice, voice) == 0.0
    # A gain moves every band by the same number of decibels: its norm over 80 bands is known.
    gain_db = 20 * np.log10(0.5)
    assert distances(voice, 0.5 * voice)["mel_distance"] == pytest.approx(-gain_db / 2 * np.sqrt(80), rel=1e-4)
    with pytest.raises(MetricFailure, match="length"):
        distances(voice, voice[:-1])
    scored = find("mrstft").score(Signal(voice, 16_000), Signal(voice * np.nan, 16_000))
    assert {v.kind for v in scored.values()} == {"not_finite"}


@pytest.mark.parametrize("name", CLIPS)
def test_f0_golden(name, clip, golden):
    wanted = golden("f0")[name]["dio+stonemask"]
    ref, deg = dio(clip(name.split("__")[0])), dio(clip(name))
    found = both_voiced(ref, deg)
    assert min(ref.size, deg.size) == wanted["n"]
    keys = (("pcc", "pcc_hz"), ("rmse", "rmse_hz"), ("cents", "rmse_cents"), ("vuv", "vuv_err"), ("gpe", "gpe20"))
    assert [found[k] for k, _ in keys] == pytest.approx([wanted[k] for _, k in keys], abs=1e-3)
    assert all_frames(ref, deg) == pytest.approx(wanted["pcc_all_frames_zeros"], abs=1e-3)
    wanted = golden("f0_swift")[name]
    found = both_voiced(swift(clip(name.split("__")[0])), swift(clip(name)))
    if wanted["both"] < 2:
        assert found["pcc"].kind == "unvoiced"
    else:
        assert found["pcc"] == pytest.approx(wanted["pcc"], abs=1e-3)
    assert (found["rmse"], found["vuv"]) == pytest.approx((wanted["rmse_hz"], wanted["vuv"]), abs=1e-3)


def test_f0_of_a_known_glide(reference, clip, golden):
    truth = np.load(reference / "metrics" / "synth_glide_f0.npy")
    wanted = golden("f0")["synth_glide"]["dio+stonemask"]
    found = both_voiced(truth[::80], dio(clip("synth_glide")))
    assert (found["pcc"], found["vuv"]) == pytest.approx((wanted["pcc_hz"], wanted["vuv_err"]), abs=1e-3)
    wanted = golden("f0_swift")["synth_glide"]
    found = both_voiced(truth[::256], swift(clip("synth_glide")))
    assert (found["rmse"], found["vuv"]) == pytest.approx((wanted["rmse_hz"], wanted["vuv"]), abs=1e-3)


def test_harvest_golden(clip, golden):
    wanted = golden("f0")["ls84_04__lp3k4"]["harvest"]
    tracks = [harvest(clip(name), 5.0, 71.0, 800.0) for name in ("ls84_04", "ls84_04__lp3k4")]
    found = both_voiced(*tracks)
    assert (found["pcc"], found["vuv"]) == pytest.approx((wanted["pcc_hz"], wanted["vuv_err"]), abs=1e-3)


@pytest.mark.parametrize(("name", "key"), [("praat", "praat_ac"), ("pyin", "pyin")])
def test_other_extractors_golden(name, key, clip, golden):
    rows = {degraded: row[key] for degraded, row in golden("f0").items() if "__" in degraded}
    # pYIN takes a quarter of the audio's time: one pair of it.
    for degraded in rows if name == "praat" else ("ls84_04__lp3k4",):
        wanted = rows[degraded]
        found = find(f"f0_{name}").score(*(Signal(clip(n), 16_000) for n in (degraded.split("__")[0], degraded)))
        expected = {"pcc": wanted["pcc_hz"], "rmse": wanted["rmse_hz"], "error": wanted["vuv_err"]}
        assert {k.split("_")[1]: v for k, v in found.items()} == pytest.approx(expected, abs=1e-3)


def test_other_extractors_name_what_they_cannot_score(voice):
    for name in ("f0_praat", "f0_pyin"):
        scored = find(name).score(Signal(voice, 16_000), Signal(np.zeros_like(voice), 16_000))
        assert {v.kind for v in scored.values()} == {"silence"}


def test_freecodec_recipe(reference):
    folder = reference / "secs" / "f0"
    for name, row in json.loads((folder / "scores.json").read_text()).items():
        pair = [soundfile.read(folder / f"{name}_{side}.wav", dtype="float32")[0] for side in ("src", "cvt")]
        stored = np.load(folder / f"{name}_f0.npz")
        tracks = [dio(wave, 10.0) for wave in pair]
        assert tracks[0] == pytest.approx(stored["src"], abs=1e-6) and tracks[1] == pytest.approx(stored["cvt"], abs=1e-6)
        scored = find("f0_pcc").score(*(Signal(wave, 16_000) for wave in pair))
        assert scored["f0_pcc"] == pytest.approx(row["f0pcc"], abs=1e-5)


def test_correlation_failures(voice):
    assert correlation(np.arange(5.0), 3 - 2 * np.arange(5.0)) == pytest.approx(-1.0)
    for a, b, kind in ((np.ones(1), np.ones(1), "unvoiced"), (np.ones(4), np.arange(4.0), "constant")):
        with pytest.raises(MetricFailure) as caught:
            correlation(a, b)
        assert caught.value.kind == kind
    assert both_voiced(np.zeros(5), np.ones(5))["pcc"].kind == "unvoiced"
    noise = np.random.default_rng(0).normal(0, 0.1, voice.size).astype(np.float32)
    scored = find("f0_rmse").score(Signal(voice, 16_000), Signal(noise, 16_000))
    assert not any(isinstance(v, Ratio) for v in scored.values()) and 0 < scored["vuv_error"] <= 1


def test_mcd_laws(voice):
    cepstra = mel_cepstra(voice)
    assert cepstra.shape == (401, 25)
    assert distance(cepstra, cepstra) == 0.0
    assert distance(cepstra, mel_cepstra(0.5 * voice)) == pytest.approx(0.0, abs=1e-3)
    one = np.zeros((3, 25))
    other = one.copy()
    other[:, 7] = 0.1
    assert distance(one, other) == pytest.approx(10 / np.log(10) * np.sqrt(2) * 0.1)
    noisy = voice + np.random.default_rng(0).normal(0, 0.05, voice.size).astype(np.float32)
    assert distance(cepstra, mel_cepstra(noisy)) > 3.0


def test_warping_bends_the_frequency_axis():
    assert warp(6, 5, 0.0) == pytest.approx(np.eye(6))
    rng, alpha = np.random.default_rng(0), 0.42
    cepstrum = rng.normal(size=10) * 0.5 ** np.arange(10)
    warped = cepstrum @ warp(10, 80, alpha)
    omega = np.linspace(0, np.pi, 50)
    # The same log spectrum, read at the frequency that the all-pass section maps omega to.
    bent = omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))
    plain = np.cos(np.outer(omega, np.arange(10))) @ cepstrum
    assert np.cos(np.outer(bent, np.arange(81))) @ warped == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("name", ["ls84_09__melgl", "ls84_09__noise20"])
def test_visqol_golden(name, clip, golden):
    ref, deg = clip(name.split("__")[0]), clip(name)
    assert visqol(ref, deg) == pytest.approx(golden("intrusive")[name]["visqol_py_lattice_or_default"], abs=0.01)
    assert visqol(ref, deg, "audio") == pytest.approx(golden("visqol_audio")[name]["audio_mode_16k_file"], abs=0.005)
    assert vnsim(ref, deg) == pytest.approx(golden("intrusive")[name]["visqol_vnsim"], abs=1e-4)


def test_visqol_audio_mode_depends_on_the_file_rate(clip, golden):
    import soxr

    name = "ls84_09__lp3k4"
    ref, deg = (soxr.resample(clip(n), 16_000, 48_000) for n in (name.split("__")[0], name))
    score = visqol(ref, deg, "audio", rate_hz=48_000)
    assert score == pytest.approx(golden("visqol_audio")[name]["audio_mode_upsampled_48k"], abs=0.005)
    assert abs(score - golden("visqol_audio")[name]["audio_mode_16k_file"]) > 1.0


@pytest.mark.parametrize("name", ["visqol", "vnsim", "world", "f0_pcc", "f0_swift", "f0_praat", "spectral"])
def test_failures_are_typed(name, voice):
    metric = find(name)
    ok = Signal(voice, 16_000)
    for wave, kinds in ((np.zeros_like(voice), {"silence"}), (voice[:50], {"too_short", "length"})):
        for pair in ((ok, Signal(wave, 16_000)), (Signal(wave, 16_000), ok)):
            scored = metric.score(*pair)
            assert set(scored) == {column.name for column in metric.columns}
            assert all(isinstance(v, MetricFailure) and v.kind in kinds for v in scored.values()), scored


@pytest.mark.parametrize("name", ["world", "f0_pcc", "f0_swift", "warpq"])
def test_batch_equals_single(name, voice):
    metric = find(name)
    signals = [Signal(voice, 16_000), Signal(0 * voice, 16_000), Signal(voice[: voice.size // 2], 16_000)]
    batch, singles = metric.analyse(signals), [metric.analyse([signal])[0] for signal in signals]
    assert isinstance(batch[1], MetricFailure)
    for one, other in ((batch[0], singles[0]), (batch[2], singles[2])):
        assert all(np.array_equal(one[key], other[key]) for key in one)
