"""Weights between two ends of a stage: the ends themselves, the middle, what must not be mixed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.errors import BenchError
from bench.models.blocks.int8 import pack, unpack
from bench.train.between import between, main


def state(seed: int) -> dict[str, Tensor]:
    """Two matrices that are packed (one per row), a bias that is not, and a part that no stage changes."""
    made = torch.Generator().manual_seed(seed)
    frozen = torch.Generator().manual_seed(99)
    return {
        "a.weight": torch.randn(80, 64, generator=made), "a.bias": torch.randn(80, generator=made),
        "base.weight": torch.randn(90, 64, generator=frozen), "base.steps": torch.tensor(7),
    }  # fmt: skip


@pytest.mark.parametrize("grouped", [False, True])
def test_the_ends_are_the_ends_and_the_middle_is_their_mean(grouped: bool) -> None:
    before, after = (pack(state(seed), (), grouped) for seed in (0, 1))
    first, last = unpack(before), unpack(after)
    for share in (0.0, 0.25, 1.0):
        mixed = between(before, after, share)
        assert {k: v.dtype for k, v in mixed.items()} == {k: v.dtype for k, v in after.items()}
        for name, value in unpack(mixed).items():
            wanted = first[name] + share * (last[name] - first[name])
            step = wanted.float().abs().max() / 127
            assert torch.allclose(value.float(), wanted.float(), atol=0.6 * float(step)), (name, share)


def test_what_no_stage_changed_stays_bit_for_bit() -> None:
    before, after = pack(state(0)), pack(state(1))
    mixed = between(before, after, 0.4)
    for name in ("base.weight", "base.weight.scale", "base.steps"):
        assert torch.equal(mixed[name], after[name])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"more": torch.zeros(2)}, "'more' is only in the weights after"),
        ({"a.bias": torch.zeros(81)}, r"'a.bias' is \[80\] before and \[81\] after"),
        ({"base.steps": torch.tensor(8)}, "'base.steps' holds integers that differ"),
    ],
)
def test_what_cannot_be_mixed(change: dict[str, Tensor], told: str) -> None:
    with pytest.raises(BenchError, match=told):
        between(state(0), state(1) | change, 0.5)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = [pack(state(seed)) for seed in (0, 1)]
    part = {k: v for k, v in packed[0].items() if k.startswith("a.")}
    save_file(part, tmp_path / "a.safetensors")
    save_file({k: v for k, v in packed[0].items() if k not in part}, tmp_path / "base.safetensors")
    save_file(packed[1], tmp_path / "after.safetensors", {"recipe": "toy"})
    line = [
        "--before", f"{tmp_path}/base.safetensors,{tmp_path}/a.safetensors", "--after", f"{tmp_path}/after.safetensors",
        "--share", "0.5", "--out", f"{tmp_path}/out",
    ]  # fmt: skip
    assert main(line) == 0
    made = load_file(tmp_path / "out/weights.safetensors")
    assert all(torch.equal(made[k], v) for k, v in between(*packed, 0.5).items())
    assert main([*line[:-4], "--share", "1.5", "--out", "x"]) == 1 and "between 0 and 1" in capsys.readouterr().err
    line[3] = "/nowhere.safetensors"
    assert main(line) == 1 and "/nowhere.safetensors" in capsys.readouterr().err
