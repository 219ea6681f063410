"""EnCodec's own package (PyPI `encodec`) at 24 kHz. Settings: `codebooks`, how many are sent (at most 32)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encodec import EncodecModel

from bench.coding.codes import Codes, Part, Tokens

PACKAGES = ("encodec", "torch")


class Encodec:
    sample_rate, frame = 24000, 320

    def __init__(self, network: Any, codebooks: int, device: str) -> None:
        self.network, self.codebooks_sent, self.device = network.eval().to(device), codebooks, device
        self.feature_rate_hz = self.sample_rate / self.frame

    @torch.no_grad()
    def encode(self, wave: np.ndarray) -> tuple[Part, ...]:
        latent = self.network.encoder(self._tensor(wave))
        indices = self.network.quantizer.vq.encode(latent, n_q=self.codebooks_sent)[:, 0].T
        return (Tokens("codes", self.feature_rate_hz, (1024,) * self.codebooks_sent, indices.cpu().numpy()),)

    @torch.no_grad()
    def decode(self, codes: Codes) -> np.ndarray:
        indices = torch.from_numpy(codes.tokens[0].indices.T.astype(np.int64))[:, None].to(self.device)
        return self.network.decoder(self.network.quantizer.vq.decode(indices))[0, 0].cpu().numpy()

    @torch.no_grad()
    def features(self, wave: np.ndarray) -> np.ndarray:
        return self.network.encoder(self._tensor(wave))[0].T.cpu().numpy()

    def codebooks(self) -> dict[str, list[np.ndarray]]:
        layers = self.network.quantizer.vq.layers[: self.codebooks_sent]
        return {"codes": [layer.codebook.cpu().numpy() for layer in layers]}

    def _tensor(self, wave: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(wave, np.float32))[None, None].to(self.device)


def load(settings: Mapping[str, Any], files: Mapping[str, Path], seed: int, device: str) -> Encodec:
    torch.manual_seed(seed)
    network = EncodecModel.encodec_model_24khz(pretrained=False)
    if files:
        [path] = files.values()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Encodec(network, int(settings["codebooks"]), device)
