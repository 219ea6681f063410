"""Cards are data that is checked: every one here parses, rates agree with streams, mistakes name file and key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import cards
from bench.columns import every_column
from bench.errors import BadCard, UnknownName

GOOD = """
family = "toy"
title = "Toy"
adapter = "identity"
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
streams = [{ name = "tokens", rate_hz = 100, sizes = [1024] }]
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
    assert point.weights["official"] == {
        "repo": "someone/toy", "files": ("model.safetensors",), "revision": "abc",
    }  # fmt: skip
    assert card.reported[0].scores == {"stoi": 0.9}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('title = "Toy"', 'titel = "Toy"'), r"toy\.toml: unknown key 'titel'. Did you mean: title"),
        (('licence = "MIT"\n', ""), r"toy\.toml: key 'licence' is missing"),
        (('kind = "neural"', 'kind = "nueral"'), "unknown kind 'nueral'. Did you mean: neural"),
        (('adapter = "identity"', 'adapter = "identify"'), "unknown adapter 'identify'. Did you mean: identity"),
        (("bitrate_kbps = 1.0", "bitrate = 1.0"), r"points\.1.*'bitrate'.*bitrate_kbps"),
        (('point = "1"', 'point = "2"'), r"\[reported\] entry 1: unknown point '2'"),
        (('family = "toy"', 'family = "other"'), "must equal the file's name"),
        (("sample_rate = 16000", "sample_rate = "), r"toy\.toml: not TOML"),
        (("sample_rate = 16000", 'sample_rate = "16k"'), "'sample_rate' is '16k'; it must be a whole number"),
        (("sample_rate = 16000", "sample_rate = 16"), "'sample_rate' is 16; it must be at least 1000"),
        (("sample_rate = 16000", "sample_rate = true"), "'sample_rate' is True; it must be a whole number"),
        (("sample_rate = 16000", "sample_rate = 16000\noutput_rate = 0"), "'output_rate' is 0; it must be at least"),
        (("bitrate_kbps = 1.0", "bitrate_kbps = 0"), r"\[points\.1\]: key 'bitrate_kbps' is 0; it must be greater than 0"),
        (("bitrate_kbps = 1.0", "bitrate_kbps = -6.0"), r"\[points\.1\]: key 'bitrate_kbps' is -6.0; .* greater than 0"),
        (("bitrate_kbps = 1.0", "bitrate_kbps = nan"), "nan is not finite"),
        (("bitrate_kbps = 1.0", "bitrate_kbps = 2.0"), r"\[points\.1\]: bitrate_kbps is 2, but the streams make 1 kbps"),
        (('name = "tokens", ', ""), r"\[points\.1\.streams\] entry 1: key 'name' is missing"),
        (("rate_hz = 100", "rate_hz = -1"), r"\[points\.1\.streams\] entry 1: key 'rate_hz' is -1; it must be at least 0"),
        (("sizes = [1024]", "sizes = [1]"), "'sizes' is 1; it must be at least 2"),
        (("sizes = [1024]", "note = 'sizes'"), "stream 'tokens' has neither 'sizes'"),
        (("[points.1]", "[points.'a b']"), "the name 'a b' must be of letters"),
        (("scores = { stoi = 0.9 }", "scores = { stoi = '0.9' }"), r"\[reported\] entry 1 \[scores\]: key 'stoi' is '0.9'"),
        (("files = ", "fiels = "), r"\[weights\.official\]: unknown key 'fiels'. Did you mean: files"),
        (('files = ["model.safetensors"]', ""), r"\[points\.1\.weights\.official\]: key 'files' is missing"),
        (('repo = "someone/toy"', ""), r"\[points\.1\.weights\.official\]: says no place"),
        (('repo = "someone/toy"', 'repo = "someone/toy"\nsha256 = "12"'), "'12' is not 64 hexadecimal digits"),
    ],
)
def test_mistakes_name_the_file_the_key_and_the_cure(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(BadCard, match=message) as told:
        cards.parse(write(tmp_path, GOOD.replace(*change)))
    assert "\n" not in str(told.value)


def test_a_card_without_points_or_of_wrong_bytes_is_told(tmp_path: Path) -> None:
    head = GOOD.partition("[settings]")[0]
    with pytest.raises(BadCard, match="key 'points' is missing"):
        cards.parse(write(tmp_path, head))
    with pytest.raises(BadCard, match="key 'points' is a table; it must have at least 1 entry"):
        cards.parse(write(tmp_path, head + "[points]"))
    (tmp_path / "toy.toml").write_bytes(b"title = '\xe9'")
    with pytest.raises(BadCard, match=r"toy\.toml: byte 9 is not UTF-8"):
        cards.parse(tmp_path / "toy.toml")
    (tmp_path / "toy.toml").unlink()
    (tmp_path / "toy.toml").mkdir()
    with pytest.raises(BadCard, match=r"toy\.toml: cannot be read"):
        cards.parse(tmp_path / "toy.toml")


def test_a_card_may_hold_reported_numbers_only(tmp_path: Path) -> None:
    bare = GOOD.replace('adapter = "identity"\n', "")
    assert cards.parse(write(tmp_path, bare)).points["1"].adapter == ""
    with pytest.raises(BadCard, match=r"key 'adapter' is missing; only a card with \[\[reported\]\]"):
        cards.parse(write(tmp_path, bare.partition("[[reported]]")[0]))


def test_a_point_says_what_comes_out_and_where_it_runs(tmp_path: Path) -> None:
    extra = 'output_rate = 24000\nrequirements = ["encodec==0.1.1"]\ninterpreter = "python3.10"\n[settings]'
    point = cards.parse(write(tmp_path, GOOD.replace("[settings]", extra))).points["1"]
    assert (point.sample_rate, point.output_rate) == (16000, 24000)
    assert point.requirements == ("encodec==0.1.1",) and point.interpreter == "python3.10" and point.needs_environment
    plain = cards.parse(write(tmp_path, GOOD)).points["1"]
    assert plain.output_rate == plain.sample_rate == 16000 and not plain.needs_environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of cards in place of codecs/."""
    monkeypatch.setattr(cards, "CODECS", tmp_path)
    cards.load.cache_clear()
    yield tmp_path
    cards.load.cache_clear()


def test_a_bad_card_leaves_the_others_readable(folder: Path) -> None:
    write(folder, GOOD)
    write(folder, GOOD.replace("toy", "bad").replace("16000", "-1"), "bad.toml")
    found, faults = cards.readable()
    assert [card.family for card in found] == ["toy"]
    assert len(faults) == 1 and "bad.toml" in str(faults[0]) and "sample_rate" in str(faults[0])
    assert cards.resolve("toy@1").name == "toy@1"


def test_unknown_names_tell_the_nearest() -> None:
    with pytest.raises(UnknownName, match="opus"):
        cards.resolve("opsu@6")
    with pytest.raises(UnknownName, match="opus@6"):
        cards.resolve("opus@7")


@pytest.mark.parametrize("point", cards.all_points(), ids=lambda point: point.name)
def test_nominal_rate_is_what_the_streams_say(point: cards.Point) -> None:
    """A card's bitrate is never typed in apart from its streams: the two agree (packets of variable rate excepted)."""
    bits = sum(stream.bits_per_s for stream in point.streams)
    if point.bitrate_kbps is None or not bits:
        pytest.skip(f"{point.name} declares no constant rate")
    assert bits / 1000 == pytest.approx(point.bitrate_kbps, rel=0.02)


def test_nominal_rates_of_the_papers() -> None:
    for rate, kbps in ((50, 0.65), (25, 0.325), (12.5, 0.1625)):
        assert cards.nominal_bits_per_s([cards.Stream("tokens", rate, (8192,))]) == pytest.approx(1000 * kbps)
    two = [cards.Stream("content", 57, (256,)), cards.Stream("speaker", 0, (1024,) * 8)]
    assert cards.nominal_bits_per_s(two) == pytest.approx(456)
    assert cards.nominal_bits_per_s(two, seconds=4.0) == pytest.approx(456 + 80 / 4)
    assert cards.nominal_bits_per_s([cards.Stream("packets", 50, bits=95)]) == pytest.approx(4750)


def test_reported_scores_are_named_as_our_columns_are() -> None:
    """Only so do they stand beside ours. A paper's RTF is seconds of audio per second of computing, which no column is."""
    known = every_column().keys() | {"rtf"}
    told = {(card.family, name) for card in cards.readable()[0] for entry in card.reported for name in entry.scores}
    assert {(family, name) for family, name in told if name not in known} == set()
