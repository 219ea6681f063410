"""The look of a family: one colour and one marker, the same in every plot and table, whatever else is shown.

Colours are Okabe and Ito's and Tol's, which stay apart for colour-blind readers; the marker's shape says the same again.
Weights other than the official ones are drawn hollow and dashed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from bench.report.columns import family
from bench.stats.labels import UNWEIGHTED, name_of, tags_of

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#000000",
    "#E69F00",
    "#882255",
    "#44AA99",
    "#999933",
    "#6E4FA3",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">")
KNOWN = (
    "focalcodec",
    "freecodec",
    "codec2",
    "freqcodec",
    "lyra",
    "amrnb",
    "opus",
    "mp3",
    "g722",
    "mulaw",
    "funcodec",
    "encodec",
    "dac",
    "mimi",
    "speechtokenizer",
    "wavtokenizer",
    "bigcodec",
    "wavlm6km",
    "stablecodec",
    "ticodec",
    "supercodec",
    "xcodec",
    "snac",
    "speex",
    "lc3",
)
"""Families whose places are fixed, so that those often seen together differ; the place of others is drawn from their name."""


@dataclass(frozen=True)
class Style:
    """How one family is drawn; hollow: with other weights than the official ones."""

    colour: str
    marker: str
    hollow: bool

    @property
    def ink(self) -> str:
        """The colour darkened, so that thin letters keep their contrast on white."""
        return "#" + "".join(f"{int(int(self.colour[i : i + 2], 16) * 0.72):02x}" for i in (1, 3, 5))


def style(system: str) -> Style:
    """The look of a system by its label. Audio that others decoded is told apart by its own name."""
    name = family(system)
    if name == "published":
        name = name_of(system)
    place = KNOWN.index(name) if name in KNOWN else zlib.crc32(name.encode())
    tags = tags_of(system)
    hollow = tags not in UNWEIGHTED and not tags.startswith("official")
    # One place more for every round of colours, so that a second family of a colour has another marker.
    round_ = place // len(COLOURS)
    return Style(COLOURS[place % len(COLOURS)], MARKERS[(place + round_) % len(MARKERS)], hollow)
