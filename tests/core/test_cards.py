"""Cards are data that is checked: every one here parses, rates agree with streams, mistakes name file and key."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench import cards
from bench.errors import BadCard, UnknownName

GOOD = """
family = "toy"
title = "Toy"
adapter = "toy"
kind = "neural"
licence = "MIT"
sample_rate = 16000
[settings]
width = 3
[weights.official]
repo = "someone/toy"
files = ["model.safetensors"]
[points.1]
bitrate_kbps = 1.0
settings = { depth = 2 }
weights = { official = { revision = "abc" } }
[[reported]]
point = "1"
source = "a paper, Table 1"
data = "LibriSpeech test-clean"
scores = { stoi = 0.9 }
"""


def write(folder: Path, text: str, name: str = "toy.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_point_inherits_and_overrides(tmp_path: Path) -> None:
    card = cards.parse(write(tmp_path, GOOD))
    point = card.points["1"]
    assert point.name == "toy@1" and dict(point.settings) == {"width": 3, "depth": 2}
    assert point.weights["official"] == {"repo": "someone/toy", "files": ["model.safetensors"], "revision": "abc"}
    assert card.reported[0].scores == {"stoi": 0.9}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('title = "Toy"', 'titel = "Toy"'), r"toy\.toml.*'titel'.*title"),
        (('licence = "MIT"\n', ""), r"toy\.toml: key 'licence' is missing"),
        (('kind = "neural"', 'kind = "magic"'), "magic"),
        (("bitrate_kbps = 1.0", "bitrate = 1.0"), r"points\.1.*'bitrate'.*bitrate_kbps"),
        (('point = "1"', 'point = "2"'), "'2'"),
        (('family = "toy"', 'family = "other"'), "must equal the file's name"),
        (("sample_rate = 16000", "sample_rate = "), "toy.toml"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(BadCard, match=message):
        cards.parse(write(tmp_path, GOOD.replace(*change)))


def test_unknown_names_tell_the_nearest() -> None:
    with pytest.raises(UnknownName, match="opus"):
        cards.resolve("opsu@6")
    with pytest.raises(UnknownName, match="opus@6"):
        cards.resolve("opus@7")


@pytest.mark.parametrize("point", cards.all_points(), ids=lambda point: point.name)
def test_nominal_rate_is_what_the_streams_say(point: cards.Point) -> None:
    """A card's bitrate is never typed in apart from its streams: the two agree (packets of variable rate excepted)."""
    bits = sum(s.get("rate_hz", 0) * s.get("bits", sum(math.log2(v) for v in s.get("sizes", ()))) for s in point.streams)
    if point.bitrate_kbps is None or not bits:
        pytest.skip(f"{point.name} declares no constant rate")
    assert bits / 1000 == pytest.approx(point.bitrate_kbps, rel=0.02)
