"""compare --waves: shares and SNR that equal those by hand, drift that is seen, and what is no one codec is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bench import adapters, cards, environments
from bench.cli import main
from bench.cli.waves import speech
from bench.coding.codec import Codec, encode
from bench.coding.codes import Codes, Tokens, Vector
from bench.errors import BenchError
from bench.fetch.weights import Weights
from bench.report import waves


class Toy(Codec):
    """Eight levels a sample. `off`: codes changed in so many of the first frames; `drift`: an error that grows with time."""

    sample_rate, frame = 1000, 1

    def __init__(self, off: int = 0, drift: float = 0.0, part: str = "codes", sizes: tuple[int, ...] = (8,)) -> None:
        self.off, self.drift, self.part, self.sizes = off, drift, part, sizes

    def encode(self, waves: Any) -> list[Codes]:
        out = []
        for wave in waves:
            indices = np.clip(np.round((wave + 1) * 3.5), 0, 7).astype(np.int64)[:, None]
            indices[: self.off] = (indices[: self.off] + 1) % 8
            out.append(Codes((Tokens(self.part, 1000, self.sizes, indices), Vector("level", np.ones(1))), len(wave), 1000))
        return out

    def decode(self, codes: Any) -> list[np.ndarray]:
        made = [one.tokens[0].indices[:, 0] / 3.5 - 1 for one in codes]
        return [(wave * (1 + self.drift * np.arange(len(wave)))).astype(np.float32) for wave in made]


def sounds(count: int = 3, length: int = 4000) -> list[np.ndarray]:
    return [np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32) for seed in range(count)]


def test_the_same_codec_agrees_to_the_last_bit() -> None:
    for line in waves.compare(Toy(), Toy(), sounds(), (1, 2, 4)):
        assert (line.equal, line.snr_db, line.least_db, line.utterances) == (1.0, np.inf, np.inf, 3)
        assert line.frames == 1000 * line.seconds


def test_equal_codes_are_counted_over_all_parts() -> None:
    [line] = waves.compare(Toy(), Toy(off=250), sounds(), (1,))
    assert line.equal == pytest.approx(751 / 1001) and line.snr_db == np.inf, "the codes of A are decoded by both"


def test_snr_is_that_by_hand_and_falls_with_length_where_a_decoder_drifts() -> None:
    a, b, heard = Toy(), Toy(drift=1e-5), sounds()
    lines = waves.compare(a, b, heard, (4, 1, 2))
    assert [line.seconds for line in lines] == [1, 2, 4]
    assert lines[0].snr_db > lines[1].snr_db > lines[2].snr_db
    pairs = [(a.decode(encode(a, [x[:2000]]))[0].astype(float), b.decode(encode(a, [x[:2000]]))[0]) for x in heard]
    by_hand = [10 * np.log10(np.sum(x**2) / np.sum((x - y) ** 2)) for x, y in pairs]
    assert lines[1].least_db == pytest.approx(min(by_hand))
    together = 10 * np.log10(sum(np.sum(x**2) for x, _ in pairs) / sum(np.sum((x - y) ** 2) for x, y in pairs))
    assert lines[1].snr_db == pytest.approx(together)


def test_lengths_that_no_speech_reaches_are_left_out() -> None:
    heard = [*sounds(2, 1500), *sounds(1, 2500)]
    assert [(line.seconds, line.utterances) for line in waves.compare(Toy(), Toy(), heard, (1, 2, 4))] == [(1, 3), (2, 1)]
    with pytest.raises(BenchError, match=r"no speech of 4 s .* longest has 2\.50 s"):
        waves.compare(Toy(), Toy(), heard, (4, 8))


def test_what_is_no_one_codec_is_told() -> None:
    other = Toy()
    other.sample_rate = 2000
    with pytest.raises(BenchError, match="sample_rate is 1000 Hz in A and 2000 Hz in B"):
        waves.compare(Toy(), other, sounds(1))
    for b in (Toy(part="tokens"), Toy(sizes=(16,))):
        with pytest.raises(BenchError, match="are not one codec: A sends"):
            waves.compare(Toy(), b, sounds(1))


def test_all_is_never_said_of_less_than_all() -> None:
    lines = [waves.Line(1, 75, 4, share, 63.04, 13.0) for share in (1.0, 0.999999, 1e-9, 0.0)]
    told = waves.terminal("x", "y", lines).splitlines()
    assert [line.split()[3] for line in told[4:8]] == ["100.00", "99.99", "0.01", "0.00"]
    assert "63.0" in told[4] and told[:2] == ["A: x", "B: y"]


def test_embedded_speech_is_joined_by_voice() -> None:
    heard = speech("embedded", 8000, 6.0)
    assert len(heard) == 4 and all(len(wave) >= 6 * 8000 for wave in heard)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--waves", "mulaw@128", "mulaw@128", "--seconds", "1", "2"]) == 0
    told = capsys.readouterr().out
    assert "A: mulaw@128" in told and told.count("100.00") == 2 and "inf" in told
    for words, said in (
        (["mulaw@128", "opus@6"], "are not one codec"),
        (["mulaw@128", "mulaw@128", "--seconds", "soon"], "lengths in seconds"),
        (["mulaw@128", "mulaw@128", "--weights", "a", "b", "c"], "one for A and one for B"),
        (["mulaw@128", "mulaw@128", "--weights", "random:x"], "random:SEED"),
    ):
        assert main(["compare", "--waves", *words]) != 0
        said_here = capsys.readouterr().err
        assert said in said_here and len(said_here.strip().splitlines()) == 1


def small(seed: int) -> Codec:
    from tests.adapters.conftest import SMALL

    point = cards.resolve("encodec@1.5")
    point = dataclasses.replace(point, settings={**point.settings, "config": SMALL["encodec"]})
    return adapters.load(point, Weights("random", seed=seed))


def test_two_seeds_of_one_network_are_two_codecs_and_one_seed_is_one() -> None:
    heard = speech("embedded", 24000, 1.0)[:2]
    [same] = waves.compare(small(1), small(1), heard, (1,))
    [apart] = waves.compare(small(1), small(2), heard, (1,))
    assert same.equal == 1 and same.snr_db > 100
    assert apart.equal < 1 and apart.snr_db < 10


@pytest.mark.skipif(not environments.here(cards.resolve("encodec-package@1.5")), reason="needs: bench env make encodec-package")
def test_a_package_in_its_environment_against_the_adapter(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from tests.adapters.test_process import published

    ours: Any = adapters.load(cards.resolve("encodec@1.5"), Weights("random", seed=5))
    path = tmp_path / "encodec.th"
    torch.save({published(key): value for key, value in ours.network.state_dict().items()}, path)
    command = ["compare", "--waves", "encodec@1.5", "encodec-package@1.5", "--seconds", "1"]
    assert main([*command, "--weights", "random:5", str(path)]) == 0
    assert "100.00" in capsys.readouterr().out
