"""8-bit weights with corrected biases: every layer keeps the mean of what it said."""

from __future__ import annotations

import torch
from torch import nn

from bench.models.blocks.int8 import pack, unpack
from bench.train.packing import pack_corrected


class Offset(nn.Module):
    """Values of spread 1 around 4, through one layer of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(64, 128, 3, padding=1, padding_mode="circular")
        self.up = nn.ConvTranspose1d(128, 64, 4, stride=2)
        self.last = nn.Linear(64, 128)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        first = self.first(x)
        up = self.up(first)[..., 2:-2]
        return [first, up, self.last(up.transpose(1, 2)).transpose(1, 2)]


@torch.no_grad()
def test_corrected_layers_keep_their_means() -> None:
    torch.manual_seed(0)
    network, x = Offset(), 4 + torch.randn(8, 64, 400)
    # One large weight a row makes the steps of 8 bits coarse for all others.
    for layer in (network.first, network.up, network.last):
        layer.weight.flatten(1)[:, 0] = 3.0
    exact = network(x)
    state = {k: v.clone() for k, v in network.state_dict().items()}
    corrected = pack_corrected(network, state, (), lambda: network(x))

    def shift(packed: dict[str, torch.Tensor]) -> list[float]:
        network.load_state_dict({k: v.float() for k, v in unpack(packed).items()})
        return [float((a.mean((0, 2)) - b.mean((0, 2))).abs().max()) for a, b in zip(exact, network(x), strict=True)]

    plain = shift(pack(state))
    mended = shift(corrected)
    assert min(plain) > 0.1
    assert max(mended) < 0.02
    assert {k for k, v in corrected.items() if v.dtype == torch.int8} == {"first.weight", "up.weight", "last.weight"}
