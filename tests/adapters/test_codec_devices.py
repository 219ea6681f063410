"""Codecs on a device that refuses the CPU's tensors: same codes, no value asked for but results; batches equal one by one."""

from __future__ import annotations

import lane
import numpy as np
import pytest
import torch

from bench import adapters, cards
from bench.coding.codec import decode, encode
from bench.fetch import weights

CODECS = ("focalcodec@50", "freqcodec@2", "freecodec@v2", "freecodec@v3")
SIZES = (16000, 12160, 16000, 9000)


def _waves(rate: int) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [(random.normal(0, 0.1, round(size * rate / 16000))).astype(np.float32) for size in SIZES]


def _load(name: str, device: str):
    point = cards.resolve(name)
    return adapters.load(point, weights.resolve(point, "nano" if weights.available(point, "nano") else "random"), device)


@pytest.mark.parametrize("name", CODECS)
def test_codes_of_a_device_equal_the_cpus(name: str) -> None:
    lane.register()
    cpu, other = _load(name, "cpu"), _load(name, "lane")
    waves = _waves(cpu.sample_rate)
    wanted = encode(cpu, waves)
    lane.State.asked.clear()
    assert [one.sha256 for one in encode(other, waves)] == [one.sha256 for one in wanted]
    lengths = [len(wave) for wave in waves]
    found = decode(other, wanted, lengths)
    # Results are brought over; on the way FocalCodec asks once a batch whether a signal is shorter than a frame, no other asks.
    asked = [one for one in lane.State.asked if one != "aten::_to_copy"]
    assert asked == ["aten::_local_scalar_dense"] * name.startswith("focalcodec")
    for one, two in zip(found, decode(cpu, wanted, lengths), strict=True):
        assert np.abs(one - two).max() <= 1e-4 * max(1.0, float(np.abs(two).max()))


@pytest.mark.parametrize("name", [*CODECS, "mimi@0.69", "funcodec@0.5"])
def test_batches_of_mixed_lengths_equal_one_by_one(name: str) -> None:
    """Codes exactly, waves up to rounding; utterances of equal length are among them."""
    codec = _load(name, "cpu")
    waves = [wave[: len(wave) // 2] for wave in _waves(codec.sample_rate)]
    lengths = [len(wave) for wave in waves]
    assert len(set(lengths)) == 3 and lengths[0] == lengths[2]
    single = [encode(codec, [wave])[0] for wave in waves]
    assert [one.sha256 for one in encode(codec, waves)] == [one.sha256 for one in single]
    for one, codes, length in zip(decode(codec, single, lengths), single, lengths, strict=True):
        [alone] = decode(codec, [codes], [length])
        assert np.abs(one - alone).max() <= 1e-4 * max(1.0, float(np.abs(alone).max()))


def test_a_device_is_given_whole_batches_of_the_engine() -> None:
    lane.register()
    sizes = [16000 * 10] * 20
    cpu, other = _load("focalcodec@50", "cpu"), _load("focalcodec@50", "lane")
    assert [len(some) for some in other._batches(sizes)] == [20]
    assert max(len(some) for some in cpu._batches(sizes)) == 6


def test_the_device_refuses_a_mix_and_a_tensor_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    lane.register()
    x = torch.ones(3, 4)
    with pytest.raises(lane.MixedDevices, match=r"add.*lane:0 and cpu"):
        x.to("lane") + x
    with pytest.raises(lane.MixedDevices):
        torch.nn.Linear(4, 2).to("lane")(x)
    assert torch.equal((x.to("lane") * 2).cpu(), x * 2)
    monkeypatch.setattr(lane.State, "memory", lane.State.held + 120)
    before = lane.State.held
    one = x.to("lane")
    two = one + 1
    view = two[1:]
    assert lane.State.held == before + 96
    with pytest.raises(torch.OutOfMemoryError):
        two + 1
    del one
    three = (view + 1).cpu()
    assert torch.equal(three, x[1:] + 2)
    assert lane.State.held == before + 48
