"""NVIDIA's NanoCodec through NeMo (PyPI `nemo-toolkit`), 22.05 kHz. Settings: `codebooks` and `size`, those of the checkpoint.

The weights are one .nemo file, which NeMo unpacks and loads itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nemo.collections.tts.models import AudioCodecModel

from bench.coding.codes import Codes, Part, Tokens

PACKAGES = ("nemo-toolkit", "torch")


class NanoCodec:
    def __init__(self, network: Any, sizes: tuple[int, ...], device: str) -> None:
        self.network, self.sizes, self.device = network.eval().to(device), sizes, device
        self.sample_rate, self.frame = int(network.sample_rate), int(network.samples_per_frame)

    @torch.no_grad()
    def encode(self, wave: np.ndarray) -> tuple[Part, ...]:
        sound = torch.from_numpy(np.array(wave, np.float32))[None].to(self.device)
        indices, _ = self.network.encode(audio=sound, audio_len=torch.tensor([len(wave)], device=self.device))
        if indices.shape[1] != len(self.sizes):
            raise ValueError(f"the checkpoint has {indices.shape[1]} codebooks, the card says {len(self.sizes)}")
        return (Tokens("codes", self.sample_rate / self.frame, self.sizes, indices[0].T.cpu().numpy()),)

    @torch.no_grad()
    def decode(self, codes: Codes) -> np.ndarray:
        indices = torch.from_numpy(codes.tokens[0].indices.T.astype(np.int64))[None].to(self.device)
        count = torch.tensor([indices.shape[2]], device=self.device)
        wave, _ = self.network.decode(tokens=indices, tokens_len=count)
        return wave.reshape(-1).float().cpu().numpy()


def load(settings: Mapping[str, Any], files: Mapping[str, Path], seed: int, device: str) -> NanoCodec:
    if not files:
        raise ValueError("NanoCodec has no random weights: its shape is in the .nemo file; give WEIGHTS=FILE")
    [path] = files.values()
    network = AudioCodecModel.restore_from(restore_path=str(path), map_location=device)
    return NanoCodec(network, (int(settings["size"]),) * int(settings["codebooks"]), device)
