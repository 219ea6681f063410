"""What the codecs of `transformers` have in common: one token stream, K codebooks; waves one by one, or of equal length."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.batches import equal
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Tokens, Vector
from bench.device import to_device
from bench.errors import BadCard

if TYPE_CHECKING:
    import torch


class HubCodec(Codec):
    """One token stream of K codebooks. With `together`, waves of equal length go through the network at once."""

    model_class: ClassVar[str]
    config_class: ClassVar[str]
    files: ClassVar[tuple[str, ...]] = ("config.json", "model.safetensors")
    """What a hub snapshot must hold."""
    official: ClassVar[Mapping[str, Any]] = {}
    """Numbers in which the published model differs from the defaults of its configuration class."""

    def __init__(self, network: torch.nn.Module, codebooks: int, device: str) -> None:
        self.network = cast(Any, network.eval().to(device))
        self.device = device
        self.codebooks_sent = codebooks
        self.config = self.network.config
        self.sample_rate = self.input_rate()
        self.frame = self.hop()
        self.feature_rate_hz = self.sample_rate / self.frame
        tables = self.tables()
        if not 1 <= codebooks <= len(tables):
            raise BadCard(f"{type(self).__name__}: codebooks is {codebooks}, must be 1 to {len(tables)}")
        self.sizes = tuple(len(table) for table in tables[:codebooks])

    def input_rate(self) -> int:
        """Hz of the waves that the network takes."""
        return int(self.config.sampling_rate)

    @abstractmethod
    def hop(self) -> int:
        """Samples per token."""

    @abstractmethod
    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """waves [B, 1, T] -> (indices [B, K, N], scale [B, 1] or None); B is 1 without `together`."""

    @abstractmethod
    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        """indices [B, K, N] -> waves with T' about N x hop samples."""

    @abstractmethod
    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        """wave [1, 1, T] -> encoder output before quantization [1, H, N]."""

    @abstractmethod
    def tables(self) -> list[torch.Tensor]:
        """One embedding table [V, H] per residual stage."""

    def spread(self) -> None:
        """Change an untrained network so that it uses many codes, where tables at random do not see to that."""

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        # A number that no other has stands for the length where waves go one by one.
        sizes = [len(wave) if self.together else -place for place, wave in enumerate(waves)]
        return equal(sizes, lambda some: self._encode([waves[place] for place in some]))

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        parts = [message.part("codes") for message in codes]
        sizes = [part.indices.shape if self.together else -place for place, part in enumerate(parts)]  # type: ignore[union-attr]
        return equal(sizes, lambda some: self._decode([codes[place] for place in some]))

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """wave [T] -> what the encoder gives before it is quantized, [frames, dim]."""
        import torch

        with torch.inference_mode():
            return self.latents(self._tensor(wave))[0].T.float().cpu().numpy()

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """The tables [size, dim] of the codebooks that are sent."""
        tables = self.tables()[: self.codebooks_sent]
        return {"codes": [table.detach().float().cpu().numpy() for table in tables]}

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """The whole model."""
        return {"model": self.network}

    def bandwidth(self) -> float:
        """The smallest of the network's bandwidths that holds the codebooks that are sent, kbit/s; for networks that ask
        for stages so. Each stage is worth log2(V) bits a frame."""
        per_stage = float(np.log2(self.config.codebook_size)) * self.feature_rate_hz / 1000
        wanted = self.codebooks_sent * per_stage
        return min(self.config.target_bandwidths, key=lambda kbps: (kbps < wanted - 1e-6, abs(kbps - wanted)))

    def _tensor(self, *waves: Wave) -> torch.Tensor:
        import torch

        return to_device(torch.from_numpy(np.stack(waves).astype(np.float32))[:, None], self.device)

    def _encode(self, waves: Sequence[Wave]) -> list[Codes]:
        """Waves of one length -> their codes."""
        import torch

        with torch.inference_mode():
            found, scale = self.to_codes(self._tensor(*waves))
        indices = found.transpose(1, 2).cpu().numpy()
        scales = None if scale is None else scale.reshape(len(waves), -1).float().cpu().numpy()
        return [
            Codes(
                (
                    Tokens("codes", self.feature_rate_hz, self.sizes, indices[place]),
                    *(() if scales is None else (Vector("scale", scales[place]),)),
                ),
                len(wave), self.sample_rate,
            )
            for place, wave in enumerate(waves)
        ]  # fmt: skip

    def _decode(self, codes: Sequence[Codes]) -> list[Wave]:
        """Codes with as many frames each -> their waves."""
        import torch

        indices = np.stack([message.part("codes").indices.T.astype(np.int64) for message in codes])  # type: ignore[union-attr]
        sent = [part.values for message in codes for part in message.parts if isinstance(part, Vector)]
        scale = to_device(torch.from_numpy(np.stack(sent).astype(np.float32)), self.device) if sent else None
        with torch.inference_mode():
            waves = self.to_wave(to_device(torch.from_numpy(indices), self.device), scale)
            return list(waves.reshape(len(codes), -1).float().cpu().numpy())
