"""Noise on the fly: any set as `name-noisy`. The codec hears the mixture and is scored against the clean recording.

Each utterance gets one noise at one signal-to-noise ratio, uniform from 0 to 20 dB, both drawn from a generator seeded
by its id: the mixture of an utterance never depends on which others are in the list. Without recordings the noises are
made here: babble (six other voices of the embedded speech), pink noise, mains hum. A folder of recordings (ESC-10, say)
replaces them: `embedded-noisy:FOLDER`, or $BENCH_NOISE for every set.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import audio
from bench.content import file_sha256
from bench.data import NOISY, Source, module
from bench.data.places import audio_files
from bench.errors import DataMissing
from bench.speech import Dataset, Utterance

DEFINITION = "mixing"
VERSION = "1"
SNR_DB = (0.0, 20.0)
MADE = ("babble", "pink", "hum")
VOICES = 6
PEAK = 0.99


@dataclass(frozen=True)
class Mixture:
    """Adds noise to a wave. `files` are the voices of babble, or the one recording. Its repr says all that matters."""

    id: str
    kind: str
    snr_db: float
    seed: int
    files: tuple[Path, ...] = ()

    def __call__(self, wave: np.ndarray, rate_hz: int) -> np.ndarray:
        """float32 [T] -> float32 [T]; turned down as a whole where it would exceed full scale."""
        wave = np.asarray(wave, np.float32)
        noise = self.noise(len(wave), rate_hz)
        speech_power, noise_power = _power(wave), _power(noise)
        if speech_power == 0.0 or noise_power == 0.0:
            return wave
        mixed = wave + np.sqrt(speech_power / noise_power / 10 ** (self.snr_db / 10)) * noise
        peak = float(np.abs(mixed).max())
        return (mixed * min(1.0, PEAK / peak)).astype(np.float32)

    def noise(self, samples: int, rate_hz: int) -> np.ndarray:
        """The noise alone, float64 [samples], at no particular level."""
        rng = generator(self.id, self.seed, "noise")
        if self.kind == "babble":
            return sum((_excerpt(path, samples, rate_hz, rng) for path in self.files), np.zeros(samples))
        if self.kind == "pink":
            return pink(samples, rng)
        if self.kind == "hum":
            return hum(samples, rate_hz, rng)
        return _excerpt(self.files[0], samples, rate_hz, rng)

    def __repr__(self) -> str:
        files = ",".join(file_sha256(path)[:16] for path in self.files)
        return f"Mixture(v{VERSION}, {self.id}, {self.kind}, {self.snr_db:.4f} dB, seed {self.seed}, [{files}])"


def load(source: Source, noise: Path | str | None = None, seed: int = 0, **options: object) -> Dataset:
    """The set `source.name` without "-noisy", mixed. noise: a folder of recordings; seed: another draw of it all."""
    name = source.name.removesuffix(NOISY)
    folder = Path(noise) if noise else None
    if name == "embedded" and source.path is not None:
        folder, source = source.path, replace(source, path=None)
    if folder is None and os.environ.get("BENCH_NOISE"):
        folder = Path(os.environ["BENCH_NOISE"]).expanduser()
    clean: Dataset = module(name).load(replace(source, name=name), **options)
    head, mark, tail = source.title().partition("#")
    named = f"{head}:{folder.resolve().name}" if folder is not None else head
    return add(clean, folder, seed, named + mark + tail)


def add(
    clean: Dataset, folder: Path | None = None, seed: int = 0, name: str | None = None, babble: Sequence[Utterance] = ()
) -> Dataset:
    """Noisy version of any set. Ids stay; `extra` gains noise and snr_db. Raises DataMissing for an empty folder.

    babble: the utterances that babble is made of, in place of the embedded ones.
    """
    recordings = audio_files(folder) if folder is not None and folder.is_dir() else []
    if folder is not None and not recordings:
        raise DataMissing(f"no noise recordings (.wav, .flac, .ogg) under {folder}; name a folder that holds some")
    voices = [] if recordings else list(babble or module("embedded").load(Source("embedded")))
    noisy = tuple(_noisy(u, seed, folder, recordings, voices) for u in clean)
    # What the noise is drawn from is part of the list's identity.
    drawn = [str(u.extra.get("sha256", u.id)) for u in voices]
    if folder is not None:
        drawn = [path.relative_to(folder).as_posix() for path in recordings]
    digest = hashlib.sha256("\n".join([VERSION, str(seed), *drawn]).encode()).hexdigest()[:12]
    kind = folder.resolve().name if folder is not None else "generated"
    return replace(
        clean, name=name or f"{clean.name}{NOISY}", utterances=noisy, condition="noisy",
        version=f"{clean.version} noise {digest}", facts={**clean.facts, "noise": kind, "snr_db": SNR_DB},
    )  # fmt: skip


def _noisy(u: Utterance, seed: int, folder: Path | None, recordings: list[Path], voices: list[Utterance]) -> Utterance:
    rng = generator(u.id, seed, "choice")
    snr_db = round(float(rng.uniform(*SNR_DB)), 4)
    if folder is not None:
        path = recordings[int(rng.integers(len(recordings)))]
        kind, label = "recording", path.parent.name if path.parent != folder else path.stem
        files: tuple[Path, ...] = (path,)
    else:
        kind = label = str(rng.choice(MADE))
        others = [v for v in voices if v.speaker != u.speaker]
        picked = [int(i) for i in rng.choice(len(others), VOICES, replace=len(others) < VOICES)] if kind == "babble" else []
        files = tuple(others[i].recording() for i in picked)
    mix = Mixture(u.id, kind, snr_db, seed, files)
    return replace(u, mix=mix, extra={**u.extra, "noise": label, "snr_db": snr_db})


def generator(name: str, seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that depend on these three alone, the same on every machine."""
    digest = hashlib.sha256(f"{purpose}/{seed}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def pink(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls by 3 dB an octave, float64 [samples]."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0)), samples)


def hum(samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum: 50 or 60 Hz with harmonics up to 1 kHz and a little pink noise, float64 [samples]."""
    base = float(rng.choice([50.0, 60.0])) * (1 + rng.uniform(-0.002, 0.002))
    time = np.arange(samples) / rate_hz
    wave = np.zeros(samples)
    for harmonic in range(1, int(min(1000.0, rate_hz / 2.2) // base) + 1):
        wave += rng.uniform(0.3, 1.0) / harmonic * np.sin(2 * np.pi * (base * harmonic * time + rng.uniform()))
    grain = pink(samples, rng)
    return wave + 0.1 * grain * np.sqrt(_power(wave) / max(_power(grain), 1e-30))


def _excerpt(path: Path, samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """`samples` of a recording from a random place on, repeated when short, its silent stretches left out, RMS 1."""
    wave, rate = audio.read(path)
    wave = audio.resample(wave, rate, rate_hz).astype(np.float64)
    hop = max(1, rate_hz // 50)
    frames = np.pad(wave, (0, -len(wave) % hop)).reshape(-1, hop)
    level = np.mean(frames**2, axis=1)
    heard = frames[level > level.max() * 1e-6].reshape(-1)
    if not len(heard):
        return np.zeros(samples)
    start = int(rng.integers(len(heard)))
    cut = np.resize(np.roll(heard, -start), samples)
    return cut / np.sqrt(max(_power(cut), 1e-30))


def _power(wave: np.ndarray) -> float:
    return float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
