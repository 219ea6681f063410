"""The decoder of synthesis: patterns and back, padding, the cache, sampling, learning by heart, killed trainings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.errors import UnknownName
from bench.probes import text
from bench.probes.synthesis import patterns, sampling, streams
from bench.probes.synthesis.network import END_BOOK
from bench.probes.synthesis.settings import PROTOCOLS, settings
from bench.probes.synthesis.training import Trainer

VICTIM = Path(__file__).with_name("victim_synthesis.py")
_spec = importlib.util.spec_from_file_location("victim_synthesis", VICTIM)
assert _spec is not None and _spec.loader is not None
_victim = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_victim)
TINY, toy = _victim.TINY, _victim.toy
PATTERNS = pytest.mark.parametrize("pattern", patterns.PATTERNS)


@PATTERNS
@pytest.mark.parametrize("books", [1, 2, 5])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_a_pattern_is_undone(pattern: str, books: int, frames: int) -> None:
    tokens = np.random.default_rng(frames).integers(0, 99, (frames, books)).astype(np.int32)
    laid = patterns.lay(pattern, tokens, 99)
    np.testing.assert_array_equal(patterns.lift(pattern, laid, frames), tokens)
    assert (laid == 99).sum() == 1 and (laid != patterns.ABSENT).sum() == tokens.size + 1
    for step, row in enumerate(laid):
        for book, token in enumerate(row):
            if token != patterns.ABSENT:
                frame = patterns.frame_of(pattern, step, book, books)
                assert frame is not None and patterns.step_of(pattern, frame, book, books) == step


def test_patterns_by_hand() -> None:
    tokens = np.array([[1, 2], [3, 4]], np.int32)
    none = patterns.ABSENT
    assert patterns.lay("flatten", tokens, 9).tolist() == [[1, none], [none, 2], [3, none], [none, 4], [9, none]]
    assert patterns.lay("delay", tokens, 9).tolist() == [[1, none], [3, 2], [9, 4]]
    with pytest.raises(UnknownName, match="delay"):
        patterns.check("delays")


def trainer(pattern: str = "flatten", books: int = 1, **changes: object) -> tuple[Trainer, list]:
    torch.set_num_threads(1)
    inputs, voices, examples = toy(books)
    return Trainer(inputs, voices, replace(TINY, pattern=pattern, **changes), 0), examples  # type: ignore[arg-type]


@PATTERNS
def test_a_batch_equals_its_members(pattern: str) -> None:
    made, examples = trainer(pattern, 2)
    made.network.eval()
    voices = torch.from_numpy(np.concatenate([made.voices.features[e.utterance] for e in examples]))
    letters = [torch.tensor(text.encode(str(e.target))) for e in examples]
    laid = [torch.from_numpy(made._laid(e.utterance)) for e in examples]
    with torch.inference_mode():
        together = made.network(voices, letters, laid)
        for n in range(len(examples)):
            [alone] = made.network(voices[n : n + 1], letters[n : n + 1], laid[n : n + 1])
            assert len(alone) == len(laid[n])
            torch.testing.assert_close(together[n], alone, atol=1e-5, rtol=1e-5)


def test_a_step_reads_nothing_that_comes_after_it() -> None:
    made, examples = trainer(books=2)
    made.network.eval()
    voice = torch.from_numpy(made.voices.features["u2"])
    letters, laid = [torch.tensor(text.encode(str(examples[2].target)))], torch.from_numpy(made._laid("u2"))
    changed = laid.clone()
    changed[6:] = torch.where(changed[6:] >= 0, (changed[6:] + 1) % 24, changed[6:])
    with torch.inference_mode():
        [first], [second] = made.network(voice, letters, [laid]), made.network(voice, letters, [changed])
    torch.testing.assert_close(first[:7], second[:7])
    assert not torch.allclose(first[7:], second[7:])


@PATTERNS
@pytest.mark.parametrize("books", [1, 3])
def test_a_sentence_learnt_by_heart_is_reproduced(tmp_path: Path, pattern: str, books: int) -> None:
    """The overfit law, with the cache, every pattern, and the decoder's own end."""
    made, examples = trainer(pattern, books)
    trained = made.fit(examples, examples, tmp_path / "c.pt")
    assert trained.curve[trained.best_epoch - 1] == 0.0 and made.validate(examples)[0] == 0.0
    for example in examples:
        voice = torch.from_numpy(made.voices.features[example.utterance][0])
        wanted = made.inputs.tokens[example.utterance]
        letters = torch.tensor(text.encode(str(example.target)))
        for found in sampling.generate(made.network, voice, letters, replace(TINY, pattern=pattern, top_p=0.5),
                                       sampling.generators(2, "x"), len(wanted)):  # fmt: skip
            np.testing.assert_array_equal(found, wanted)


def test_lengths_of_samples() -> None:
    """An untrained decoder: with "target" as many frames as the target, with "stop" at most the limit, at least one."""
    made, _ = trainer(books=2)
    made.network.eval()
    voice, letters = torch.from_numpy(made.voices.features["u0"][0]), torch.tensor([3, 4])
    given = replace(TINY, length="target", top_p=1.0)
    found = sampling.generate(made.network, voice, letters, given, sampling.generators(3, 0), 5)
    assert [one.shape for one in found] == [(5, 2)] * 3 and all(one.max() < 24 and one.min() >= 0 for one in found)
    assert not np.array_equal(found[0], found[1]), "each sample has a generator of its own"
    again = sampling.generate(made.network, voice, letters, given, sampling.generators(1, 0), 5)
    np.testing.assert_array_equal(again[0], found[0])
    with torch.no_grad():
        made.network.heads[END_BOOK].weight.zero_()
    for one in sampling.generate(made.network, voice, letters, replace(TINY, top_p=1.0), sampling.generators(20, 1), 30):
        assert 1 <= len(one) <= 60


def test_nucleus() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    drawn = [sampling.nucleus(logits, 0.79, 1.0, np.random.default_rng(n)) for n in range(400)]
    assert set(drawn) == {0, 1}, "0.5 + 0.3 passes 0.79"
    assert abs(drawn.count(0) / 400 - 0.5 / 0.8) < 0.08
    assert {sampling.nucleus(logits, 0.81, 1.0, np.random.default_rng(n)) for n in range(200)} == {0, 1, 2}
    assert {sampling.nucleus(logits, 1.0, 1e-4, np.random.default_rng(n)) for n in range(50)} == {0}
    assert {sampling.nucleus(logits, 0.4, 1.0, np.random.default_rng(n)) for n in range(50)} == {0}


def test_one_seed_one_decoder(tmp_path: Path) -> None:
    states = []
    for name in ("a", "b"):
        made, examples = trainer(epochs=3, dropout=0.1)
        made.fit(examples, examples, tmp_path / f"{name}.pt")
        states.append(made.network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_killed_training_goes_on(tmp_path: Path, kill_training: Callable[[Path, Path, int], None]) -> None:
    kill_training(VICTIM, tmp_path / "c.pt", 3)
    assert (tmp_path / "c.pt").is_file()
    seen: list[int] = []
    states = []
    for checkpoint in (tmp_path / "c.pt", tmp_path / "whole.pt"):
        made, examples = trainer(epochs=8, dropout=0.1)
        told = (lambda epoch, error: seen.append(epoch)) if checkpoint.name == "c.pt" else (lambda epoch, error: None)
        made.save_every_s = 0.0
        made.fit(examples, examples, checkpoint, told)
        states.append(made.network.state_dict())
    assert seen == [4, 5, 6, 7, 8]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_paper_s_decoder_has_its_shape() -> None:
    """12 layers of width 512, 4 heads, 1 of keys and values, feed-forward 2048: 3.8 M parameters a layer."""
    inputs, voices, _ = toy()
    paper = replace(settings("focalcodec"), layers=1)
    voices.features = {name: np.zeros((1, 512), np.float32) for name in voices.features}
    network = Trainer(inputs, voices, paper, 0).network
    [layer] = network.llama.layers
    assert sum(p.numel() for p in layer.parameters()) == 512 * (512 + 128 + 128 + 512) + 3 * 512 * 2048 + 2 * 512
    assert isinstance(network.from_text, torch.nn.Identity) and isinstance(network.from_voice, torch.nn.Identity)
    with pytest.raises(UnknownName, match="focalcodec"):
        settings("paper")
    assert set(PROTOCOLS) == {"focalcodec", "embedded", "focalcodec-delay", "embedded-delay"}
    late = settings("focalcodec-delay")
    assert late.pattern == "delay" and replace(late, pattern="flatten", protocol="focalcodec") == settings("focalcodec")


def message(frames: int = 8) -> Codes:
    rng = np.random.default_rng(0)
    fast = Tokens("fast", 50.0, (8, 16), rng.integers(0, 8, (frames, 2)))
    slow = Tokens("slow", 25.0, (4,), rng.integers(0, 4, (frames // 2, 1)))
    once = Tokens("once", 0.0, (9,), np.array([[5]]))
    return Codes((fast, once, slow, Vector("voice", np.ones(3))), 320 * frames, 16000)


def test_a_message_is_made_of_what_was_written() -> None:
    """Streams of two rates, and what is sent once: tokens of a message give that message back."""
    codes = message()
    inputs = streams.inputs("toy", {"u": codes}, None)
    assert inputs.sizes == (8, 16, 4) and inputs.tokens["u"].shape == (8, 3) and not inputs.features
    made = streams.message(codes, inputs.tokens["u"])
    assert made.to_bytes() == codes.to_bytes()
    shorter = streams.message(codes, inputs.tokens["u"][:4])
    assert shorter.num_samples == 4 * 320 and [len(one.indices) for one in shorter.tokens] == [4, 1, 2]
    assert shorter.part("once").indices.tolist() == [[5]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ((Packets("frames", 50.0, (b"ab",) * 4),), r"toy: a decoder cannot write what it sends \(packets 'frames'\)"),
        ((Tokens("samples", 1600.0, (256,), np.zeros((8, 1), int)),), "toy: 1 codebooks at up to 1600 Hz"),
        ((Tokens("once", 0.0, (9,), np.array([[5]])),), r"\(tokens 'once'\)"),
    ],
)
def test_a_codec_without_tokens_is_told(parts: tuple, told: str) -> None:
    with pytest.raises(streams.NoTokens, match=told) as caught:
        streams.inputs("toy", {"u": Codes(parts, 80 * 16, 16000)}, None)
    assert "\n" not in str(caught.value)
