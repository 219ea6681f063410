"""The network of DistillMOS: convolutions over the spectrogram of a segment of 7.68 s, then a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.metrics._common import quiet_stdout
from bench.metrics.distillmos import SEGMENT
from bench.metrics.networks import Batch

FRAME_HOP, FRAMES = 160, 768
MARGIN = 8
"""Feature frames (two spectrogram frames each) beyond the reach of the convolutions."""


@dataclass(frozen=True)
class DistillMos:
    """`silence`: features [1, 1024, 384] of a segment of zeros."""

    network: Any
    silence: Tensor

    def __call__(self, batch: Batch) -> Tensor:
        """Raw scores [B] of segments of 122,880 samples, each given up to its last sample that is not zero."""
        return self.network.transformer_pool_attn(self.features(batch))

    def features(self, batch: Batch) -> Tensor:
        """Features [B, 384, 1024].

        The convolutions see 6 spectrogram frames to each side and halve the frame rate, so behind the last sample that
        is not zero the features are those of silence. Short clips are half silence: that half is computed once for all.
        """
        frames = min(FRAMES, (max(batch.sizes) - 1) // FRAME_HOP + 2 + 4 * MARGIN)
        frames += frames % 2
        part = self.network.cnn(torch.nn.functional.pad(batch.rows, (0, frames * FRAME_HOP - batch.rows.shape[1])))
        if frames < FRAMES:
            known = frames // 2 - MARGIN
            rest = self.silence[..., known:].expand(len(part), -1, -1)
            part = torch.cat([part[..., :known], rest], dim=-1)
        return part.permute(0, 2, 1)


def from_file(path: Path, device: str = "cpu") -> DistillMos:
    """The network with the tensors of `path`, on `device`."""
    with quiet_stdout():
        from distillmos.sqa import ConvTransformerSQAModel

        network = ConvTransformerSQAModel(load_weights=False, segmenting_in_forward=False)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    for module in network.modules():
        if isinstance(module, torch.nn.LeakyReLU):
            module.inplace = True
    network.eval().to(device)
    with torch.inference_mode():
        return DistillMos(network, network.cnn(torch.zeros(1, SEGMENT, device=device)))
