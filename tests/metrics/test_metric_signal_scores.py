"""STOI, ESTOI, PESQ and SI-SDR, SNR: golden values of the tools that define them, laws, failures."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bench.metrics import MetricFailure
from bench.metrics.pesq import pesq
from bench.metrics.si_sdr import CAP_DB, si_sdr
from bench.metrics.snr import snr
from bench.metrics.stoi import both, estoi, stoi

PAIRS = [
    f"{base}{tail}"
    for base in ("ls251", "ls84_04", "ls84_09")
    for tail in ("", "__delay10ms", "__gain-6", "__lp3k4", "__melgl", "__mulaw6", "__noise20", "__noise5")
]


@pytest.mark.parametrize("name", PAIRS)
def test_golden(name, clip, golden):
    wanted = golden("intrusive")[name]
    ref, deg = clip(name.split("__")[0]), clip(name)
    plain, extended = both(ref, deg)
    assert plain == pytest.approx(wanted["stoi"], abs=1e-6)
    assert extended == pytest.approx(wanted["estoi"], abs=1e-6)
    if not name.startswith("ls251"):  # the long clip takes half of the time and adds nothing
        assert pesq(ref, deg) == pytest.approx(wanted["pesq_wb"], abs=1e-4)
        assert pesq(ref, deg, "nb") == pytest.approx(wanted["pesq_nb_16k"], abs=1e-4)
    if name == name.split("__")[0]:
        assert si_sdr(ref, deg) == CAP_DB and wanted["si_sdr_zm"] > 100
        assert snr(ref, deg) == CAP_DB
    else:
        assert si_sdr(ref, deg) == pytest.approx(wanted["si_sdr_zm"], abs=1e-3)
        assert si_sdr(ref, deg, zero_mean=False) == pytest.approx(wanted["si_sdr_nozm"], abs=1e-3)
        assert snr(ref, deg) == pytest.approx(wanted["snr"], abs=1e-3)


def test_laws(voice):
    noisy = voice + np.random.default_rng(0).normal(0, 0.01, voice.size).astype(np.float32)
    assert 0.2 < stoi(voice, noisy) < 0.999
    assert stoi(voice, 0.25 * noisy) == pytest.approx(stoi(voice, noisy), abs=1e-6)
    assert estoi(voice, 0.25 * noisy) == pytest.approx(estoi(voice, noisy), abs=1e-6)
    assert estoi(voice, noisy) == estoi(voice, noisy)
    assert si_sdr(voice, -3.0 * noisy) == pytest.approx(si_sdr(voice, noisy), abs=1e-3)
    assert si_sdr(voice, voice + 0.1) == pytest.approx(CAP_DB, abs=20)
    noise = np.random.default_rng(1).normal(0, 1, voice.size)
    noise -= noise @ voice / (voice @ voice) * voice
    at_10_db = voice + noise * np.linalg.norm(voice) / np.linalg.norm(noise) * 10**-0.5
    assert si_sdr(voice, at_10_db) == pytest.approx(10.0, abs=0.05)
    assert snr(voice, at_10_db) == pytest.approx(10.0, abs=1e-3)
    assert snr(voice, 0.5 * voice) == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert snr(voice, -voice) == pytest.approx(-20 * np.log10(2), abs=1e-3)


def test_estoi_of_a_half_silent_output_is_repeatable(voice):
    cut = voice.copy()
    cut[voice.size // 2 :] = 0.0
    first = estoi(voice, cut)
    np.random.default_rng(5).normal(size=10)
    assert estoi(voice, cut) == first < 0.9


@pytest.mark.parametrize("score", [stoi, estoi, pesq, si_sdr, snr])
def test_failures_are_typed(score, voice):
    silent, broken = np.zeros_like(voice), voice.copy()
    broken[100] = np.nan
    for ref, deg, kind in (
        (silent, voice, "silence"),
        (voice, silent, "silence"),
        (voice, broken, "not_finite"),
        (broken, voice, "not_finite"),
        (voice[:0], voice[:0], "empty"),
    ):
        with pytest.raises(MetricFailure) as caught:
            score(ref, deg)
        assert caught.value.kind == kind


def test_lengths(voice):
    for score in (stoi, estoi, si_sdr):
        with pytest.raises(MetricFailure, match="length"):
            score(voice, voice[:-1])
    assert pesq(voice, voice[:-800]) > 1.0
    for score in (stoi, estoi, pesq):
        with pytest.raises(MetricFailure, match="too_short"):
            score(voice[:3000], voice[:3000])
    with pytest.raises(MetricFailure, match="too_short"):
        stoi(voice[:1], voice[:1])


def test_pesq_says_nothing_on_the_terminal(voice, capfd):
    pesq(voice, voice)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("up", "down"), [(5, 8), (5, 4), (5, 12), (1, 2), (100, 441)])
def test_stoi_resamples_as_scipy_does(up, down):
    from scipy.signal import resample_poly

    from bench.metrics.stoi import _resample, _resampling_filter

    rng = np.random.default_rng(0)
    for size in (1, 7, 1_600, 16_001):
        wave = rng.normal(size=size)
        wanted = resample_poly(wave, up, down, window=_resampling_filter(up, down))
        assert _resample(wave, up, down) == pytest.approx(wanted, abs=1e-13)


def test_scoring_imports_neither_scipy_signal_nor_plots():
    script = (
        "import sys, numpy as np; from bench.metrics import Signal, find; "
        "s = Signal(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32), 16000); "
        "[find(name).score(s, s) for name in ('stoi', 'pesq_wb', 'si_sdr', 'spectral')]; "
        "print([m for m in ('scipy.signal', 'scipy.stats', 'torch', 'matplotlib', 'seaborn', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
