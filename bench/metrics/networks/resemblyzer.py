"""The network of Resemblyzer: three LSTM layers and a linear one over a partial utterance of 1.6 s."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


class SpeakerEncoder(nn.Module):
    """mel powers [P, 160, 40] -> unit-length embeddings [P, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, partials: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(partials)
        raw = torch.relu(self.linear(hidden[-1]))
        return raw / raw.norm(dim=1, keepdim=True)


def from_file(path: Path) -> SpeakerEncoder:
    """The network with the tensors of `path`; the checkpoint also holds the two numbers of its training loss."""
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    network = SpeakerEncoder()
    network.load_state_dict({key: tensor for key, tensor in state.items() if key.split(".")[0] in ("lstm", "linear")})
    return network.eval()
