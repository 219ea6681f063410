"""Sentences put together from word lists: what synthetic training speech says. None is of the embedded speech."""

from __future__ import annotations

import random
from pathlib import Path

FIXED = Path(__file__).resolve().parent.parent / "bench" / "data" / "embedded" / "sentences.txt"

WHO = (
    "a retired sailor", "the night porter", "my older sister", "the chief engineer", "our new landlord",
    "the youngest player", "that famous painter", "a patient librarian", "the village baker", "an anxious student",
    "the woman next door", "a group of hikers", "the orchestra leader", "his former colleague", "the border guard",
    "an elderly couple", "the ship's cook", "every third passenger", "her favourite uncle", "the junior reporter",
    "a visiting scholar", "the taxi driver", "our gymnastics coach", "the deputy manager", "a quiet stranger",
)  # fmt: skip
DID = (
    "carried", "sketched", "borrowed", "described", "cleaned", "forgot", "purchased", "examined", "polished", "photographed",
    "sold", "discovered", "rebuilt", "ignored", "weighed", "delivered", "unwrapped", "hid", "bought", "mentioned", "chose",
    "shook", "watched", "recognised", "measured",
)  # fmt: skip
WHICH = (
    "a broken", "the enormous", "a bright orange", "the cheapest", "another dusty", "an ugly", "the other",
    "a perfectly ordinary", "the missing", "some rather heavy", "a beautiful", "the smallest", "a second-hand", "an ancient",
    "the freshly painted", "a thousand-year-old", "the usual", "a valuable", "this peculiar",
)  # fmt: skip
WHAT = (
    "suitcase", "piano", "wheelbarrow", "photograph", "chessboard", "telephone", "oil lamp", "treasure chest", "wristwatch",
    "newspaper", "gold earring", "motorcycle", "weather vane", "jigsaw puzzle", "leather purse", "rocking chair",
    "kitchen table", "velvet curtain", "typewriter", "garden shed", "box of crayons", "fishing rod", "jar of honey",
    "pair of boots", "bathtub", "trumpet", "compass", "envelope", "statue",
)  # fmt: skip
WHERE = (
    "behind the post office", "near the western gate", "at the edge of the forest", "in the middle of the square",
    "underneath the staircase", "on the far side of the lake", "outside the theatre", "between the two bridges",
    "along the railway line", "in a basement in Chicago", "beside the swimming pool", "above the fireplace",
    "halfway up the mountain", "at the airport", "inside an empty warehouse", "across the street from us",
)  # fmt: skip
WHEN = (
    "on Wednesday", "just after midnight", "during the long holiday", "twice a year", "before anyone woke up",
    "late last autumn", "in the early afternoon", "for no obvious reason", "with a great deal of trouble",
    "about fifteen minutes ago", "on her birthday", "as soon as the rain stopped", "at half past seven",
    "for the very first time", "without a single word", "in February", "while the others were asleep",
)  # fmt: skip
OPENING = (
    "I do not believe that", "They told us that", "It is hard to imagine why", "Nobody could explain how",
    "The record clearly shows that", "We were amused when", "You should have seen how", "Is it true that",
    "Perhaps you heard that", "She was certain that", "It was a pity that", "Do you remember when",
)  # fmt: skip
COUNT = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "twenty",
    "thirty-one", "forty-four", "fifty-six", "sixty-eight", "ninety", "a hundred", "a thousand",
)  # fmt: skip
MANY = (
    "oranges", "pigeons", "bicycles", "matches", "teaspoons", "sunflowers", "judges", "yards of rope", "cups of sugar",
    "loose pages", "zebras", "fishing boats", "empty bottles", "mirrors", "church bells", "frogs", "ships", "thieves",
    "cheerful voices", "measuring jugs",
)  # fmt: skip
HOW = (
    "Breathe slowly", "Stand up straight", "Close the shutters", "Stir the mixture", "Look over there", "Hold the rail",
    "Give me the other half", "Wash your hands", "Join the queue", "Choose a shorter route",
)  # fmt: skip
WHY = (
    "before you begin to read aloud", "because the floor is still wet", "until the kettle starts to boil",
    "unless you wish to lose the whole afternoon", "so that everyone can enjoy the view", "while I look for the thermometer",
    "if the weather turns really rough", "and think of something cheerful",
)  # fmt: skip


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


def embedded() -> set[str]:
    """The sentences of the embedded speech, in lower case: never to be trained on."""
    return {line.strip().lower() for line in FIXED.read_text(encoding="utf-8").splitlines()}
