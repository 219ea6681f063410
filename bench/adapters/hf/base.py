"""What the codecs of `transformers` have in common: one token stream, K codebooks, waves one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.codec import Codec, Wave
from bench.codes import Codes, Tokens, Vector
from bench.errors import BadCard

if TYPE_CHECKING:
    import torch


class HubCodec(Codec):
    """What the three have in common: one token stream, K codebooks, waves one by one."""

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
        """wave [1, 1, T] -> (indices [1, K, N], scale [1, 1] or None)."""

    @abstractmethod
    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        """indices [1, K, N] -> wave with T' about N x hop samples."""

    @abstractmethod
    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        """wave [1, 1, T] -> encoder output before quantization [1, H, N]."""

    @abstractmethod
    def tables(self) -> list[torch.Tensor]:
        """One embedding table [V, H] per residual stage."""

    def spread(self) -> None:
        """Change an untrained network so that it uses many codes, where tables at random do not see to that."""

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

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

    def _tensor(self, wave: Wave) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None, None].to(self.device)

    def _encode(self, wave: Wave) -> Codes:
        import torch

        with torch.inference_mode():
            indices, scale = self.to_codes(self._tensor(wave))
        tokens = Tokens("codes", self.feature_rate_hz, self.sizes, indices[0].T.cpu().numpy())
        side = () if scale is None else (Vector("scale", scale.reshape(-1).float().cpu().numpy()),)
        return Codes((tokens, *side), len(wave), self.sample_rate)

    def _decode(self, codes: Codes) -> Wave:
        import torch

        part = codes.part("codes")
        assert isinstance(part, Tokens)
        indices = torch.from_numpy(part.indices.T.astype(np.int64))[None].to(self.device)
        scale = next((p.values for p in codes.parts if isinstance(p, Vector)), None)
        sent = None if scale is None else torch.from_numpy(scale.astype(np.float32))[None].to(self.device)
        with torch.inference_mode():
            return self.to_wave(indices, sent).reshape(-1).float().cpu().numpy()
