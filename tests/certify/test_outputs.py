"""Outputs are compared bit for bit, scores within their margin, and the first difference is told."""

from __future__ import annotations

import numpy as np

from bench.certify import cases
from bench.certify.outputs import compare, difference, joined, of_codes, of_numbers, of_wave
from bench.coding.codes import Codes, Tokens
from bench.metrics import MetricFailure


def test_the_cases_are_what_they_are_called() -> None:
    waves = cases.waves()
    assert set(waves) == {
        "speech", "short", "silent_start", "clipped", "noisy", "band_limited", "rate_24k", "two_voices"
    }  # fmt: skip
    assert len(waves["short"][0]) == 320 and waves["rate_24k"][1] == 24_000
    assert not waves["silent_start"][0][:12_000].any() and waves["silent_start"][0].any()
    assert np.mean(np.abs(waves["clipped"][0]) > 0.999) > 0.01
    spectrum = np.abs(np.fft.rfft(waves["band_limited"][0]))
    assert spectrum[np.fft.rfftfreq(len(waves["band_limited"][0]), 1 / 16_000) > 3500].max() < 1e-2 * spectrum.max()


def test_the_first_sample_that_differs() -> None:
    wave = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    other = wave.copy()
    other[9_700] = np.nextafter(other[9_700], np.float32(2))
    assert difference(of_wave(wave, 16_000), of_wave(wave.copy(), 16_000), {}) is None
    assert "sample 9600 (0.600 s)" in str(difference(of_wave(wave, 16_000), of_wave(other, 16_000), {}))
    assert "had 16000 samples, has 15000" in str(difference(of_wave(wave, 16_000), of_wave(wave[:15_000], 16_000), {})) or (
        "differs from sample 14720" in str(difference(of_wave(wave, 16_000), of_wave(wave[:15_000], 16_000), {}))
    )


def test_the_first_frame_that_differs() -> None:
    indices = np.arange(40).reshape(20, 2) % 8
    other = indices.copy()
    other[7, 1] ^= 1

    def codes(some: np.ndarray) -> Codes:
        return Codes((Tokens("tokens", 50, (8, 8), some),), 6400, 16_000)

    assert compare({"a": of_codes(codes(indices))}, {"a": of_codes(codes(indices.copy()))}, {}) is None
    told = compare({"a": of_codes(codes(indices))}, {"a": of_codes(codes(other))}, {})
    assert told is not None and told.startswith("case a: codes 'tokens' differs from frame 7 (0.140 s)")


def test_scores_within_a_hundredth_of_the_margin() -> None:
    was = of_numbers({"stoi": 0.9, "gone": MetricFailure("silence")})
    assert difference(was, of_numbers({"stoi": 0.90004, "gone": MetricFailure("silence")}), {"stoi": 0.005}) is None
    assert "'stoi'" in str(difference(was, of_numbers({"stoi": 0.90006, "gone": MetricFailure("silence")}), {"stoi": 0.005}))
    assert "'gone'" in str(difference(was, of_numbers({"stoi": 0.9, "gone": 1.0}), {"stoi": 0.005}))
    assert "'stoi'" in str(difference(was, of_numbers({"stoi": float("nan"), "gone": MetricFailure("silence")}), {}))


def test_what_is_new_is_recorded_beside_what_was() -> None:
    was = {"a": {"facts": of_numbers({"x": 1.0})}}
    now = {"a": {"facts": of_numbers({"x": 1.0 + 1e-9, "y": {"z": 2.0}})}, "b": {"facts": of_numbers({"x": 3.0})}}
    assert compare(was, now, {}) is None and compare(now, was, {}) == "case a: facts 'y' is gone"
    assert joined(was, now) == {"a": {"facts": of_numbers({"x": 1.0, "y": {"z": 2.0}})}, "b": now["b"]}
