"""The loop: it learns what is there and nothing else, repeats itself, survives a kill, follows NewBob."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.probes import fitting
from bench.probes.examples import Example, batches
from bench.probes.settings import Settings
from bench.probes.training import Probe

VICTIM = Path(__file__).with_name("victim_probe.py")
_spec = importlib.util.spec_from_file_location("victim_probe", VICTIM)
assert _spec is not None and _spec.loader is not None
_toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_toy)
TINY: Settings = _toy.TINY
toy_inputs = _toy.toy_inputs


def train(tmp_path: Path, settings: Settings = TINY, seed: int = 0, name: str = "a") -> tuple[Probe, list[float]]:
    inputs, examples = toy_inputs()
    probe = Probe("si", inputs, 3, settings, seed)
    return probe, probe.fit(examples[:16], examples[16:], tmp_path / f"{name}.pt").curve


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs: a device that is always full (Linux)")
def test_a_full_disk_is_told_by_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    fitting.save(path, {"a": torch.zeros(3)})
    before = path.read_bytes()
    path.with_suffix(f".{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left.*state\.pt"):
        fitting.save(path, {"a": torch.ones(3)})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def weights(probe: Probe) -> np.ndarray:
    return torch.cat([value.reshape(-1) for value in probe.network.state_dict().values()]).numpy()


def test_learns_what_the_tokens_show(tmp_path: Path) -> None:
    curve = train(tmp_path, replace(TINY, epochs=15))[1]
    assert min(curve) == 0.0
    inputs, _ = toy_inputs()
    rng = np.random.default_rng(1)
    for name, tokens in inputs.tokens.items():
        inputs.tokens[name] = rng.integers(0, 8, tokens.shape).astype(np.int32)
    blind = Probe("si", inputs, 3, replace(TINY, epochs=15), 0)
    examples = [Example(name, index % 3) for index, name in enumerate(inputs.tokens)]
    assert min(blind.fit(examples[:16], examples[16:], tmp_path / "b.pt").curve) > 0.2


def test_spells_what_the_tokens_show(tmp_path: Path) -> None:
    inputs, examples = toy_inputs(count=24)
    spelt = [Example(e.utterance, "abc"[int(e.target)]) for e in examples]
    probe = Probe("asr", inputs, 29, replace(TINY, epochs=40, learning_rate=2e-2, validate="cer"), 0)
    curve = probe.fit(spelt[:16], spelt[16:], tmp_path / "asr.pt").curve
    assert max(curve) > 0.5 and min(curve) < 0.2


def test_same_seed_same_weights_other_seed_others(tmp_path: Path) -> None:
    first, again, other = (train(tmp_path, seed=seed, name=name)[0] for seed, name in ((3, "a"), (3, "b"), (4, "c")))
    np.testing.assert_array_equal(weights(first), weights(again))
    assert np.abs(weights(first) - weights(other)).max() > 1e-3


def test_kill_9_and_go_on_ends_with_the_same_weights(tmp_path: Path, kill_training: Callable[[Path, Path, int], None]) -> None:
    settings = replace(TINY, epochs=6)
    whole, curve = train(tmp_path, settings)
    checkpoint = tmp_path / "killed.pt"
    kill_training(VICTIM, checkpoint, 2)
    assert len(torch.load(checkpoint, weights_only=True)["curve"]) == 2
    resumed, found = train(tmp_path, settings, name="killed")
    assert found == curve
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def test_newbob_follows_the_validation_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience 1: the first epoch without gain is forgiven, the second anneals."""
    losses = iter([1.0, 0.5, 0.4999, 0.4999, 0.4999, 0.4999, 0.1])
    monkeypatch.setattr(Probe, "validate", lambda self, examples: (0.5, next(losses)))
    rates: list[float] = []
    inputs, examples = toy_inputs()
    probe = Probe("si", inputs, 3, replace(TINY, epochs=7, anneal=0.9, patience=1), 0)
    rate = probe.optimiser.param_groups[0]
    probe.fit(examples[:8], examples[8:], tmp_path / "n.pt", lambda *_: rates.append(rate["lr"]))
    np.testing.assert_allclose(np.array(rates) / TINY.learning_rate, [1, 1, 1, 0.9, 0.9, 0.81, 0.81])


def test_best_epoch_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([(0.9, 1.0), (0.2, 0.9), (0.2, 0.8), (0.5, 0.1)])
    seen: list[np.ndarray] = []

    def validate(self: Probe, examples: object) -> tuple[float, float]:
        seen.append(weights(self).copy())
        return next(told)

    monkeypatch.setattr(Probe, "validate", validate)
    inputs, examples = toy_inputs()
    probe = Probe("si", inputs, 3, TINY, 0)
    trained = probe.fit(examples[:8], examples[8:], tmp_path / "b.pt")
    assert trained.best_epoch == 3
    np.testing.assert_array_equal(weights(probe), seen[2])


def test_batches_cover_everything_once_and_crop_within() -> None:
    inputs, examples = toy_inputs()
    rng = np.random.default_rng(0)
    for crop in (0, 6):
        some = list(batches(examples, inputs, 5, "cpu", rng, crop))
        assert sorted(e.utterance for b in some for e in b.examples) == sorted(inputs.tokens)
        for batch in some:
            assert batch.tokens is not None
            for row, example in enumerate(batch.examples):
                length, whole = int(batch.lengths[row]), inputs.tokens[example.utterance]
                assert length == (min(len(whole), crop) if crop else len(whole))
                part = batch.tokens[row, :length].numpy()
                assert any((whole[at : at + length] == part).all() for at in range(len(whole) - length + 1))
    lengths = [int(n) for batch in batches(examples, inputs, 5, "cpu") for n in batch.lengths]
    assert lengths == sorted(lengths)


def test_a_loss_that_explodes_is_told() -> None:
    inputs, examples = toy_inputs()
    probe = Probe("si", inputs, 3, TINY, 0)
    for parameter in probe.network.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(BenchError, match=r"toy.*learning_rate"):
        probe.step(next(iter(batches(examples, inputs, 4, "cpu"))))
