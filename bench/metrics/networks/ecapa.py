"""ECAPA-TDNN of SpeechBrain with its features, for rows of different lengths."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import WeightsInvalid
from bench.fetch import pickles
from bench.metrics.networks import Batch, masks

HOP = 160


class Ecapa(nn.Module):
    """wave [B, T] at 16 kHz -> embedding [B, 192]: 80 log-mel bands less their mean, then the network."""

    def __init__(self) -> None:
        from speechbrain.lobes.features import Fbank
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        super().__init__()
        self.features = Fbank(n_mels=80)
        self.network = ECAPA_TDNN(
            input_size=80,
            channels=[1024, 1024, 1024, 1024, 3072],
            kernel_sizes=[5, 3, 3, 3, 1],
            dilations=[1, 2, 3, 4, 1],
            attention_channels=128,
            lin_neurons=192,
        )

    def forward(self, batch: Batch) -> Tensor:
        if batch.lengths is None:
            features = self.features(batch.rows)
            return self.network(features - features.mean(dim=1, keepdim=True))[:, 0]
        frames = 1 + torch.div(batch.lengths, HOP, rounding_mode="floor")
        features = self._masked_features(batch.rows, frames)
        features = features - masks.mean(features, frames)[:, None]
        # Room for the reflection behind the longest row.
        features = nn.functional.pad(features, (0, 0, 0, self._reach()))
        # Half a frame less, so that rounding of the share never lets a frame too many in.
        shares = (frames - 0.5) / features.shape[1]
        with self._reflecting(frames, features.shape[1]):
            return self.network(features, shares)[:, 0]

    def _masked_features(self, waves: Tensor, frames: Tensor) -> Tensor:
        """Log-mel [B, N, 80]. Frames beyond a row's own hold some of its end: the loudest must not be among them."""
        from speechbrain.processing.features import spectral_magnitude

        magnitudes = spectral_magnitude(self.features.compute_STFT(waves))
        there = masks.valid(frames, magnitudes.shape[1])
        return self.features.compute_fbanks(magnitudes.masked_fill(~there[..., None], 0.0))

    def _convolutions(self) -> list[Any]:
        from speechbrain.nnet.CNN import Conv1d

        return [module for module in self.network.modules() if isinstance(module, Conv1d) and module.kernel_size > 1]

    def _reach(self) -> int:
        return max((module.kernel_size - 1) * module.dilation // 2 for module in self._convolutions())

    @contextlib.contextmanager
    def _reflecting(self, frames: Tensor, size: int) -> Iterator[None]:
        """Within: every convolution finds each row [.., N] reflected behind its own last frame, as it would alone."""
        place = torch.arange(size, device=frames.device).expand(len(frames), -1)
        last = frames[:, None] - 1
        source = torch.where(place <= last, place, 2 * last - place).clamp(min=0)[:, None]

        def reflect(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            [x] = inputs
            return (x.gather(2, source.expand_as(x)),)

        hooks = [module.register_forward_pre_hook(reflect) for module in self._convolutions()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def from_file(path: Path) -> Ecapa:
    """The network with the tensors of `path`. Raises WeightsInvalid when they do not fit."""
    found = Ecapa()
    try:
        found.network.load_state_dict(pickles.tensors(path))
    except RuntimeError as error:
        raise WeightsInvalid(f"{path}: not the ECAPA-TDNN of SpeechBrain: {str(error)[:300]}") from error
    return found.eval()
