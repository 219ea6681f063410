"""Heads on tokens: they learn a batch by heart, do not mind the order of sources, repeat themselves and survive a kill."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.coding.codes import Codes, Tokens, Vector
from bench.errors import BadCodes, BenchError
from bench.probes.examples import batches
from bench.probes.inputs import stretch
from bench.probes.restoration import pairs
from bench.probes.restoration.networks import Nearness, are_corners
from bench.probes.restoration.pairs import Pairs
from bench.probes.restoration.training import Head, _summed

VICTIM = Path(__file__).with_name("victim_head.py")
_spec = importlib.util.spec_from_file_location("victim_head", VICTIM)
assert _spec is not None and _spec.loader is not None
_toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_toy)
TINY, toy, codes = _toy.TINY, _toy.toy, _toy.codes
BY_HEART = replace(TINY, dim=32, ffn=64, dropout=0.0, crop_s=0.0, batch=8)


@pytest.mark.parametrize("sources", [1, 2])
def test_one_batch_is_learnt_by_heart(sources: int) -> None:
    made, examples = toy(sources, count=3)
    head = Head(made, BY_HEART, 0)
    [batch] = batches(examples, made.inputs, 8, "cpu")
    losses = [head.step(batch) for _ in range(250)]
    assert losses[0] > 1.0 and losses[-1] < 0.05
    assert head.validate(examples)[0] == 0.0
    predicted = head.predict(examples)
    for n, example in enumerate(examples):
        for s in range(sources):
            wanted = codes(20, 100 * (s + 1) + n).tokens
            for mine, due in zip(predicted[example.utterance][s], wanted, strict=True):
                np.testing.assert_array_equal(mine, due.indices)


def test_the_order_of_sources_does_not_matter() -> None:
    made, examples = toy(2)
    swapped = replace(made, targets={name: rows[::-1].copy() for name, rows in made.targets.items()})
    heads = [Head(some, replace(TINY, dropout=0.0), 0) for some in (made, swapped)]
    [batch] = batches(examples, made.inputs, 8, "cpu")
    losses = [[head.step(batch) for _ in range(3)] for head in heads]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert heads[0].validate(examples) == pytest.approx(heads[1].validate(examples), rel=1e-4)
    first, second = (head.predict(examples) for head in heads)
    for name, sources in first.items():
        for mine, other in zip(sources, second[name][::-1], strict=True):
            for a, b in zip(mine, other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_best_order_by_hand() -> None:
    head = Head(toy(2)[0], TINY, 0)
    costs = torch.tensor([[[1.0, 5.0], [4.0, 2.0]], [[3.0, 1.0], [0.0, 9.0]]])
    best, order = head.matched(costs)
    assert best.tolist() == [1.5, 0.5]
    assert [head.orders[n] for n in order.tolist()] == [(0, 1), (1, 0)]


def test_padding_is_in_no_cost() -> None:
    made, _ = toy(1)
    head = Head(made, TINY, 0)
    given = [torch.zeros(1, 1, 10, size) for size in made.sizes]
    for one in given:
        one[:, :, 6:, 1] = 100.0
    targets = torch.zeros(1, 1, 10, len(made.sizes), dtype=torch.long)
    assert head.costs(given, targets, torch.tensor([6])).item() == pytest.approx(float(np.mean(np.log(made.sizes))))


def test_predictions_do_not_depend_on_who_else_is_there() -> None:
    lengths = {f"u{n}": 12 + 3 * (n % 3) for n in range(6)}
    made = pairs.from_codes(
        "toy", {name: codes(frames, n) for n, (name, frames) in enumerate(lengths.items())},
        {name: [codes(frames, 50 + n)] for n, (name, frames) in enumerate(lengths.items())},
    )  # fmt: skip
    head = Head(made, TINY, 0)
    examples = [_toy.Example(name, "") for name in lengths]
    whole = head.predict(examples)
    for example in examples:
        for mine, other in zip(head.predict([example])[example.utterance][0], whole[example.utterance][0], strict=True):
            np.testing.assert_array_equal(mine, other)


def test_slower_streams_come_back_as_they_were_stretched() -> None:
    indices = np.array([[2], [0], [4]], np.int32)
    for frames in (3, 7, 12):
        scores = torch.nn.functional.one_hot(torch.from_numpy(stretch(indices, frames)[:, 0]).long(), 5).float()
        assert _summed(scores, 3).argmax(-1).tolist() == [2, 0, 4]


def test_nearest_entry_is_the_likeliest_and_the_start_is_what_was_heard() -> None:
    table = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32))
    near = Nearness(6, 2, table)
    torch.nn.init.zeros_(near.moves.weight)
    heard = torch.arange(9)[None]
    scores = near.scores(near(torch.randn(1, 9, 6), heard))
    assert scores.shape == (1, 2, 9, 9)
    assert scores.argmax(-1).tolist() == [[list(range(9))] * 2]


@pytest.mark.parametrize("scale", [1.0, 13**-0.5])
def test_binary_codes_are_as_likely_as_all_their_bits(scale: float) -> None:
    """The short way over bits equals the softmax over all entries, and so do its gradients."""
    corners = scale * (2.0 * ((torch.arange(32)[:, None] >> torch.arange(5)) & 1) - 1)
    assert are_corners(corners) and are_corners(corners[torch.randperm(32)] + 0.5)
    assert not are_corners(corners[:31]) and not are_corners(torch.cat([corners[:31], corners[:1]]))
    assert not are_corners(corners * torch.linspace(1, 1.1, 32)[:, None])
    x, heard, wanted = torch.randn(2, 7, 6), torch.randint(32, (2, 7)), torch.randint(32, (2, 2, 7, 3))
    torch.manual_seed(0)
    near = Nearness(6, 2, corners)
    torch.nn.init.normal_(near.moves.weight)
    whole = near.scores(near(x, heard)).log_softmax(dim=-1).gather(-1, wanted)
    short = near.log_probabilities(near(x, heard), wanted)
    assert near.corners
    torch.testing.assert_close(short, whole)
    for mine, due in zip(
        *(torch.autograd.grad(some.square().sum(), list(near.parameters())) for some in (short, whole)), strict=True
    ):
        torch.testing.assert_close(mine, due, rtol=1e-3, atol=1e-3)


def test_the_best_epoch_is_chosen_by_tokens_or_by_the_loss() -> None:
    made, examples = toy(1)
    by_tokens, by_loss = (Head(made, replace(TINY, best=best), 0).validate(examples) for best in ("tokens", "loss"))
    assert by_tokens[1] == by_loss[1] == by_loss[0] and 0 < by_tokens[0] <= 1


def test_files_hold_everything(tmp_path: Path) -> None:
    made, _ = toy(2)
    made = replace(made, tables=(np.ones((8, 3), np.float32), None, None, None))
    made.save(tmp_path / "p.npz")
    back = Pairs.load(tmp_path / "p.npz")
    assert (back.sizes, back.streams, back.rows, back.sources) == (made.sizes, made.streams, made.rows, 2)
    for name, rows in made.targets.items():
        np.testing.assert_array_equal(back.targets[name], rows)
        np.testing.assert_array_equal(back.inputs.tokens[name], made.inputs.tokens[name])
    np.testing.assert_array_equal(back.tables[0], made.tables[0])  # type: ignore[arg-type]
    assert back.tables[1:] == (None, None, None)


def test_features_come_to_the_rate_of_the_tokens() -> None:
    made, _ = toy(1, count=1, frames=4)
    twice = pairs.continuous(made, {"u0": np.arange(8, dtype=np.float32)[:, None]}, "c")
    assert twice.inputs.features["u0"][:, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    half = pairs.continuous(made, {"u0": np.arange(2, dtype=np.float32)[:, None]}, "c")
    assert half.inputs.features["u0"][:, 0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert Head(twice, TINY, 0).validate([_toy.Example("u0", "")])[0] > 0


def test_only_tokens_are_replaced() -> None:
    vector = Vector("voice", np.ones(3))
    whole = Codes((Tokens("t", 50.0, (8,), np.zeros((4, 1), int)), vector), 1280, 16000)
    made = pairs.replaced(whole, [np.full((4, 1), 7, np.int32)])
    assert made.tokens[0].indices.tolist() == [[7]] * 4
    assert made.parts[1] is vector and made.num_samples == 1280


def test_codes_of_unequal_length_are_told() -> None:
    with pytest.raises(BadCodes, match="u has another number of tokens"):
        pairs.from_codes("toy", {"u": codes(8, 0)}, {"u": [codes(9, 1)]})


def weights(head: Head) -> np.ndarray:
    return torch.cat([value.reshape(-1).float() for value in head.network.state_dict().values()]).numpy()


def test_kill_9_and_go_on_ends_with_the_same_weights(tmp_path: Path, kill_training: Callable[[Path, Path, int], None]) -> None:
    made, examples = toy(sources=2)

    def trained(seed: int, name: str) -> tuple[Head, list[float]]:
        head = Head(made, TINY, seed)
        return head, head.fit(examples[:4], examples[4:], tmp_path / f"{name}.pt").curve

    whole, curve = trained(0, "whole")
    again, found = trained(0, "again")
    assert found == curve
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert np.abs(weights(trained(1, "other")[0]) - weights(whole)).max() > 1e-3
    checkpoint = tmp_path / "killed.pt"
    kill_training(VICTIM, checkpoint, 2)
    assert len(torch.load(checkpoint, weights_only=True)["curve"]) == 2
    resumed, found = trained(0, "killed")
    assert found == curve
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def test_a_loss_that_explodes_is_told() -> None:
    made, examples = toy(1)
    head = Head(made, TINY, 0)
    for parameter in head.network.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(BenchError, match=r"toy.*learning_rate"):
        head.step(next(iter(batches(examples, made.inputs, 4, "cpu"))))
