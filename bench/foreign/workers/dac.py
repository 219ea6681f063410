"""DAC's own package (PyPI `descript-audio-codec`) at 16 kHz. Settings: `codebooks`, how many are sent (at most 12)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dac.model import DAC

from bench.coding.codes import Codes, Part, Tokens

PACKAGES = ("descript-audio-codec", "torch")
SHAPE = {"encoder_rates": [2, 4, 5, 8], "decoder_rates": [8, 5, 4, 2], "n_codebooks": 12, "sample_rate": 16000}


class Dac:
    sample_rate, frame = 16000, 320

    def __init__(self, network: Any, codebooks: int, device: str) -> None:
        self.network, self.codebooks_sent, self.device = network.eval().to(device), codebooks, device
        self.feature_rate_hz = self.sample_rate / self.frame

    @torch.no_grad()
    def encode(self, wave: np.ndarray) -> tuple[Part, ...]:
        _, indices, *_ = self.network.encode(self._tensor(wave), n_quantizers=self.codebooks_sent)
        sizes = (1024,) * self.codebooks_sent
        return (Tokens("codes", self.feature_rate_hz, sizes, indices[0, : self.codebooks_sent].T.cpu().numpy()),)

    @torch.no_grad()
    def decode(self, codes: Codes) -> np.ndarray:
        indices = torch.from_numpy(codes.tokens[0].indices.T.astype(np.int64))[None].to(self.device)
        return self.network.decode(self.network.quantizer.from_codes(indices)[0])[0, 0].cpu().numpy()

    @torch.no_grad()
    def features(self, wave: np.ndarray) -> np.ndarray:
        return self.network.encoder(self._tensor(wave))[0].T.cpu().numpy()

    def codebooks(self) -> dict[str, list[np.ndarray]]:
        stages = self.network.quantizer.quantizers[: self.codebooks_sent]
        return {"codes": [stage.codebook.weight.detach().cpu().numpy() for stage in stages]}

    def _tensor(self, wave: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(wave, np.float32))[None, None].to(self.device)


def load(settings: Mapping[str, Any], files: Mapping[str, Path], seed: int, device: str) -> Dac:
    torch.manual_seed(seed)
    network = DAC(**SHAPE)
    if files:
        [path] = files.values()
        held = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(held.get("state_dict", held))
    return Dac(network, int(settings["codebooks"]), device)
