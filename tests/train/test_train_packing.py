"""8-bit weights with corrected biases: every layer keeps the mean of what it said."""

from __future__ import annotations

import torch
from torch import nn

from bench.models.blocks.int8 import pack, unpack
from bench.train.packing import pack_corrected


class Offset(nn.Module):
    """One layer of each kind, all of which hear values of spread 1 around 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(64, 128, 3, padding=1, padding_mode="circular")
        self.up = nn.ConvTranspose1d(64, 128, 4, stride=2)
        self.linear = nn.Linear(64, 128)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.conv(x), self.up(x)[..., 2:-2], self.linear(x.transpose(1, 2)).transpose(1, 2)]


@torch.no_grad()
def test_corrected_layers_keep_their_means() -> None:
    torch.manual_seed(0)
    network, x = Offset(), 4 + torch.randn(8, 64, 400)
    # Large weights here and there make the steps of 8 bits coarse for those beside them.
    for layer in (network.conv, network.up, network.linear):
        layer.weight.flatten(1)[:, ::8] = 1.0
    exact = network(x)
    state = {k: v.clone() for k, v in network.state_dict().items()}
    corrected = pack_corrected(network, state, (), lambda: network(x))

    def shift(packed: dict[str, torch.Tensor]) -> list[float]:
        network.load_state_dict({k: v.float() for k, v in unpack(packed).items()})
        return [float((a.mean((0, 2)) - b.mean((0, 2))).abs().max()) for a, b in zip(exact, network(x), strict=True)]

    plain = shift(pack(state, grouped=True))
    mended = shift(corrected)
    assert all(after < 0.25 * before for before, after in zip(plain, mended, strict=True)), (plain, mended)
    assert {k for k, v in corrected.items() if v.dtype == torch.int8} == {"conv.weight", "up.weight", "linear.weight"}


def test_groups_keep_small_weights_beside_identities() -> None:
    torch.manual_seed(0)
    state = {"w": torch.eye(100, 130) + 0.01 * torch.randn(100, 130), "odd": torch.randn(71, 3, 37), "bias": torch.randn(9)}
    packed = pack(state, grouped=True)
    assert packed["w"].dtype == packed["odd"].dtype == torch.int8 and packed["w"].shape == (100, 130)
    back = unpack(packed)
    assert set(back) == set(state)
    groups = torch.nn.functional.pad(state["odd"].flatten(), (0, -state["odd"].numel() % 16)).view(-1, 16).abs().amax(1)
    error = torch.nn.functional.pad((back["odd"] - state["odd"]).flatten(), (0, -state["odd"].numel() % 16)).view(-1, 16)
    assert bool((error.abs().amax(1) <= groups / 127 * 0.505).all())
    rows = unpack(pack(state))
    away = state["w"].abs() < 0.5
    assert float((back["w"] - state["w"])[away].std()) < 0.4 * float((rows["w"] - state["w"])[away].std())
