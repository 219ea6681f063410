"""NVIDIA's NanoCodec through NeMo (PyPI `nemo-toolkit`), 22.05 kHz. Settings: `codebooks` and `size`, those of the checkpoint.

The weights are one .nemo file, which NeMo unpacks and loads itself.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nemo.collections.tts.models import AudioCodecModel
from omegaconf import open_dict

from bench.coding.codes import Codes, Part, Tokens

PACKAGES = ("nemo-toolkit", "torch")
# What only training uses; some of it would be fetched, or made for nothing.
TRAINING = ("discriminator", "use_scl_loss", "use_slm_loss")


class NanoCodec:
    def __init__(self, network: Any, sizes: tuple[int, ...], device: str) -> None:
        self.network, self.sizes, self.device = network.eval().to(device), sizes, device
        self.sample_rate, self.frame = int(network.sample_rate), int(network.samples_per_frame)
        # Its encoder's last convolution mirrors frames at both ends, and cannot where there are as few as it mirrors.
        last = network.audio_encoder.post_conv.conv
        self.min_samples = int(last.padding[0]) * self.frame + 1 if last.padding_mode == "reflect" else 1

    @torch.no_grad()
    def encode(self, wave: np.ndarray) -> tuple[Part, ...]:
        sound = torch.from_numpy(np.array(wave, np.float32))[None].to(self.device)
        indices, _ = self.network.encode(audio=sound, audio_len=torch.tensor([len(wave)], device=self.device))
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
    if not tarfile.is_tarfile(path):
        raise ValueError(f"{path} is no .nemo file, an archive of a configuration and tensors; fetch it again")
    sizes = (int(settings["size"]),) * int(settings["codebooks"])
    config = AudioCodecModel.restore_from(restore_path=str(path), return_config=True)
    with open_dict(config):
        for name in TRAINING:
            config[name] = None
    network = AudioCodecModel.restore_from(restore_path=str(path), override_config_path=config, map_location=device)
    has = (int(network.codebook_size),) * int(network.num_codebooks)
    if has != sizes:
        raise ValueError(f"{path} has {len(has)} codebooks of {has[0]} codes, the card says {len(sizes)} of {sizes[0]}")
    # NeMo loads what fits and leaves the rest as it was made.
    lacking = sorted(set(network.state_dict()) - _names(path))
    if lacking:
        raise ValueError(f"{path} lacks {len(lacking)} of the network's tensors, first {lacking[0]}")
    return NanoCodec(network, sizes, device)


def _names(path: Path) -> set[str]:
    """The tensors that a .nemo file holds."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith(".ckpt") and (file := archive.extractfile(member)) is not None:
                return set(torch.load(file, map_location="meta", weights_only=True))
    raise ValueError(f"{path} holds no tensors")
