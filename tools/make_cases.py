"""Makes the signals on which `bench certify` recomputes definitions: bench/certify/cases/*.flac, from the embedded speech.

Run again only on purpose: other signals need other golden values. `python tools/make_cases.py`
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import audio, data

HERE = Path(__file__).resolve().parent.parent
RATE = 16_000


def main() -> None:
    speech = {u.id: u for u in data.load("embedded")}

    def voice(name: str, seconds: float | None = None, start: float = 0.3) -> np.ndarray:
        wave, _ = speech[name].read(RATE)
        return wave if seconds is None else wave[round(start * RATE) : round((start + seconds) * RATE)]

    rng = np.random.default_rng(0)
    whole, first, second = voice("am_eric_44"), voice("bf_emma_66", 1.2), voice("am_puck_57", 1.2)
    spectrum = np.fft.rfft(first)
    spectrum[np.fft.rfftfreq(len(first), 1 / RATE) > 3400] = 0
    cases = {
        "speech": whole,
        "short": voice("af_sky_33", 0.02, 0.8),
        "silent_start": np.concatenate([np.zeros(round(0.8 * RATE)), second]),
        "clipped": np.clip(4.0 * first / np.abs(first).max(), -1.0, 1.0 - 2**-15),
        "noisy": second + 0.3 * np.std(second) * rng.standard_normal(len(second)),
        "band_limited": np.fft.irfft(spectrum, len(first)),
        "two_voices": 0.5 * (first + second),
    }
    folder = HERE / "bench" / "certify" / "cases"
    for name, wave in cases.items():
        audio.write(folder / f"{name}.flac", np.asarray(wave, np.float32), RATE)
    audio.write(folder / "rate_24k.flac", audio.resample(voice("af_heart_12", 1.2), RATE, 24_000), 24_000)


if __name__ == "__main__":
    main()
