"""What happens to codes and waves under each condition, against values known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import cards as codec_cards
from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.errors import UnknownName
from bench.report.conditions import condition_of
from bench.tasks import cards, degradations, robustness
from bench.tasks.degradations import CHANNELS, INPUTS

RATE = 16000


def codes(frames: int = 500, rate_hz: float = 50.0) -> Codes:
    """Tokens that count frames, packets of 20 ms that do so too, and what is sent once."""
    count = np.arange(frames)[:, None]
    payloads = tuple(n.to_bytes(2, "big") for n in range(round(frames * 50 / rate_hz)))
    parts = (
        Tokens("tokens", rate_hz, (1000,), count), Packets("packets", 50.0, payloads),
        Tokens("once", 0.0, (256,), np.array([[7]])), Vector("voice", np.array([0.5, -2.0])),
    )  # fmt: skip
    return Codes(parts, round(frames / rate_hz * RATE), RATE)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", list(CHANNELS))
def test_a_perfect_channel_changes_nothing(name: str) -> None:
    assert CHANNELS[name](codes(), 0.0, random()).to_bytes() == codes().to_bytes()


def test_what_is_lost_is_replaced_by_the_last_that_came() -> None:
    lost = np.zeros(10, bool)
    lost[[0, 3, 4, 9]] = True
    came = degradations.without(codes(10), lost)
    assert came.tokens[0].indices[:, 0].tolist() == [1, 1, 2, 2, 2, 5, 6, 7, 8, 8]
    assert [int.from_bytes(one, "big") for one in came.parts[1].payloads] == [1, 1, 2, 2, 2, 5, 6, 7, 8, 8]  # type: ignore[union-attr]
    assert came.tokens[1].indices.tolist() == [[7]]


def test_streams_of_other_rates_lose_the_same_time() -> None:
    lost = np.zeros(10, bool)
    lost[4] = True  # 80 to 100 ms
    assert degradations.without(codes(20, 100.0), lost).tokens[0].indices[6:12, 0].tolist() == [6, 7, 7, 7, 10, 11]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2])
def test_losses_have_their_share_and_bursts_their_length(share: float) -> None:
    # 5,000 packets, each of 20 tokens that count
    many = Codes((Tokens("tokens", 1000.0, (1 << 20,), np.arange(100_000)[:, None]),), 100 * RATE, RATE)

    def lost(name: str) -> np.ndarray:
        made = np.concatenate([
            CHANNELS[name](many, share, random(seed)).tokens[0].indices[::20, 0] != np.arange(0, 100_000, 20)
            for seed in range(4)
        ])  # fmt: skip
        return made

    for name in ("random loss", "bursty loss"):
        assert lost(name).mean() == pytest.approx(share, rel=0.35)
    bursts = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], lost("bursty loss"), [0]]))))[::2]
    assert bursts.mean() == pytest.approx(degradations.BURST_PACKETS, rel=0.3)


def test_every_bit_turned_is_the_complement() -> None:
    part = Tokens("tokens", 50.0, (1024,), np.array([[0], [1023], [341]]))
    flipped = degradations.bit_errors(Codes((part,), 960, RATE), 1.0, random())
    assert flipped.tokens[0].indices[:, 0].tolist() == [1023, 0, 682]


def test_bit_errors_keep_the_layout_and_the_frame() -> None:
    parts = (Tokens("t", 50.0, (1000,), np.full((3, 1), 900)), Packets("p", 50.0, (b"\xff\xf0",) * 3, 12))
    came = degradations.bit_errors(Codes(parts, 960, RATE), 0.5, random())
    assert came.layout == Codes(parts, 960, RATE).layout
    assert came.payload_bits == Codes(parts, 960, RATE).payload_bits
    vector = degradations.bit_errors(Codes((Vector("v", np.ones(200)),), 960, RATE), 0.5, random()).parts[0]
    assert np.isfinite(vector.values).all()  # type: ignore[union-attr]


def test_poor_input() -> None:
    time = np.arange(RATE) / RATE
    wave = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    np.testing.assert_allclose(INPUTS["low level"](wave, RATE, 20, random()), wave / 10, rtol=1e-5)
    assert np.abs(INPUTS["clipping"](wave, RATE, 6.0206, random())).max() == pytest.approx(0.25, rel=1e-4)
    high = (0.5 * np.sin(2 * np.pi * 6000 * time)).astype(np.float32)
    assert np.abs(INPUTS["8 kHz"](high, RATE, 8000, random())[1000:-1000]).max() < 1e-3
    np.testing.assert_allclose(INPUTS["8 kHz"](wave, RATE, 8000, random())[1000:-1000], wave[1000:-1000], atol=1e-3)
    click = np.zeros(RATE, np.float32)
    click[100] = 0.5
    wet = INPUTS["reverberation"](click, RATE, 0.5, random())
    assert np.argmax(np.abs(wet)) == 100  # the direct sound comes first, where it was
    late = [np.sum(wet[a : a + 400] ** 2) for a in (1700, 5700)]
    assert 10 * np.log10(late[0] / late[1]) == pytest.approx(30, abs=2)  # 60 dB in 0.5 s


def test_a_wave_of_zeros_stays_zeros() -> None:
    for name, amount in (("reverberation", 0.5), ("low level", 30), ("clipping", 12), ("8 kHz", 8000)):
        assert not INPUTS[name](np.zeros(999, np.float32), RATE, amount, random()).any()


def test_lines_of_the_card() -> None:
    wanted = cards.load("robustness").settings["conditions"]
    listed = list(degradations.listed(wanted))
    assert {condition for condition, _ in listed} == set(degradations.conditions())
    assert len({degradations.called(*pair) for pair in listed}) == len(listed)
    with pytest.raises(UnknownName):
        list(degradations.listed({"random los": [0.1]}))
    assert codec_cards.resolve("identity").kind == "reference"


def test_names_of_conditions() -> None:
    assert condition_of("opus@6 (random loss 5 %)") == ("opus@6", "random loss 5 %")
    assert condition_of("focalcodec@50 (8 kHz) [nano]") == ("focalcodec@50 [nano]", "8 kHz")


def test_table_and_plot_of_the_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--codec", "identity,codec2@700", "--limit", "2", "--metrics", "stoi", "--workers", "1", "--quiet"]
    assert robustness.main([*words, "--store", str(tmp_path / "s.sqlite"), "--results", str(tmp_path / "r")]) == 0
    [page] = (tmp_path / "r").rglob("leaderboard.md")
    text = page.read_text()
    assert "`codec2@700 (random loss 20 %)`" in text
    assert "`identity (low level 30 dB)`" in text
    assert "`identity (tandem 2)`" not in text
    assert (page.parent / "conditions.png").stat().st_size > 10_000
