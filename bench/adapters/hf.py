"""EnCodec, DAC and Mimi through their classes in `transformers`.

Official weights are a hub snapshot (config.json and model.safetensors); random ones are the published architecture
with seeded values, for tests. Waves are coded one by one: these models pad in ways that would change codes in a batch.
Settings of a point: `model` (encodec, dac, mimi) and `codebooks`, the number of residual stages that are sent;
`config` overrides single numbers of the architecture for random weights (small models in tests).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.cards import Point
from bench.codec import Codec, Wave
from bench.codes import Codes, Tokens, Vector
from bench.errors import BadCard, UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.weights import Weights

if TYPE_CHECKING:
    import torch

VERSION = "1"


class HubCodec(Codec):
    """What the three have in common: one token stream, K codebooks, waves one by one."""

    model_class: ClassVar[str]
    config_class: ClassVar[str]
    official: ClassVar[Mapping[str, Any]] = {}
    """Numbers in which the published model differs from the defaults of its configuration class."""

    def __init__(self, network: torch.nn.Module, codebooks: int, device: str) -> None:
        self.network = cast(Any, network.eval().to(device))
        self.device = device
        self.codebooks_sent = codebooks
        self.config = self.network.config
        self.sample_rate = int(self.config.sampling_rate)
        self.frame = self.hop()
        self.feature_rate_hz = self.sample_rate / self.frame
        tables = self.tables()
        if not 1 <= codebooks <= len(tables):
            raise BadCard(f"{type(self).__name__}: codebooks is {codebooks}, must be 1 to {len(tables)}")
        self.sizes = tuple(len(table) for table in tables[:codebooks])

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

    def encode(self, waves: Sequence[Wave]) -> list[Codes]:
        return [self._encode(wave) for wave in waves]

    def decode(self, codes: Sequence[Codes]) -> list[Wave]:
        return [self._decode(message) for message in codes]

    def features(self, wave: Wave) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return self.latents(self._tensor(wave))[0].T.float().cpu().numpy()

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        tables = self.tables()[: self.codebooks_sent]
        return {"codes": [table.detach().float().cpu().numpy() for table in tables]}

    def networks(self) -> Mapping[str, torch.nn.Module]:
        return {"model": self.network}

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


class Encodec(HubCodec):
    """24 kHz EnCodec; models that normalise the level send the scale as side information."""

    model_class, config_class = "EncodecModel", "EncodecConfig"

    def hop(self) -> int:
        return int(np.prod(self.config.upsampling_ratios))

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        # Stages are asked for in kbit/s: each is worth log2(V) bits a frame.
        per_stage = float(np.log2(self.config.codebook_size)) * self.feature_rate_hz / 1000
        wanted = self.codebooks_sent * per_stage
        bandwidth = min(self.config.target_bandwidths, key=lambda kbps: (kbps < wanted - 1e-6, abs(kbps - wanted)))
        out = self.network.encode(wave, bandwidth=bandwidth)
        return out.audio_codes[0][:, : self.codebooks_sent], out.audio_scales[0]

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(indices[None], [scale]).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        return self.network.encoder(wave)

    def tables(self) -> list[torch.Tensor]:
        return [layer.codebook.embed for layer in self.network.quantizer.layers]


class Dac(HubCodec):
    """16 kHz DAC. Its decoder's odd stride loses up to 8 samples at the very end, which stay zero."""

    model_class, config_class = "DacModel", "DacConfig"
    official: ClassVar[Mapping[str, Any]] = {
        "downsampling_ratios": [2, 4, 5, 8], "upsampling_ratios": [8, 5, 4, 2], "n_codebooks": 12, "hop_length": 320,
    }  # fmt: skip

    def hop(self) -> int:
        # The published 16 kHz configuration says hop_length 512; its ratios, which the network obeys, say 320.
        return int(np.prod(self.config.downsampling_ratios))

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.network.encode(wave, n_quantizers=self.codebooks_sent).audio_codes, None

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(audio_codes=indices).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        return self.network.encoder(wave)

    def tables(self) -> list[torch.Tensor]:
        return [stage.codebook.weight for stage in self.network.quantizer.quantizers]


class Mimi(HubCodec):
    """24 kHz Mimi: one semantic and up to 31 acoustic codebooks at 12.5 Hz."""

    model_class, config_class = "MimiModel", "MimiConfig"

    def hop(self) -> int:
        return round(self.config.sampling_rate / self.config.frame_rate)

    def to_codes(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.network.encode(wave, num_quantizers=self.codebooks_sent).audio_codes, None

    def to_wave(self, indices: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        return self.network.decode(indices).audio_values

    def latents(self, wave: torch.Tensor) -> torch.Tensor:
        return self.network.encoder(wave).latents

    def tables(self) -> list[torch.Tensor]:
        quantizer = self.network.quantizer
        stages = (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer)
        return [layer.codebook.embed for stage in stages for layer in stage.layers]


MODELS: Mapping[str, type[HubCodec]] = {"encodec": Encodec, "dac": Dac, "mimi": Mimi}


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec that the point's `model` names, with official or random weights; unknown settings are errors."""
    check_settings(point, ["model", "codebooks"], ["config"])
    name = point.settings["model"]
    if name not in MODELS:
        raise BadCard(f"{point.name}: {UnknownName('model', name, MODELS)}")
    kind = MODELS[name]
    if weights.kind == "random":
        network = _random(kind, dict(point.settings.get("config", {})), weights.seed)
    else:
        network = _official(kind, weights)
    return kind(network, int(point.settings["codebooks"]), device)


def _random(kind: type[HubCodec], overrides: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """The architecture with seeded values; codebooks too, which the classes leave at zero until they are loaded."""
    import torch
    import transformers

    config = getattr(transformers, kind.config_class)(**{**kind.official, **overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = getattr(transformers, kind.model_class)(config)
        for name, buffer in network.named_buffers():
            if name.rpartition(".")[2] in ("embed", "embed_sum"):
                buffer.normal_(std=0.05)
    return network


def _official(kind: type[HubCodec], weights: Weights) -> torch.nn.Module:
    """A folder of config.json and model.safetensors, loaded strictly and without network."""
    import transformers

    for wanted in ("config.json", "model.safetensors"):
        if wanted not in weights.files:
            raise WeightsMissing(f"{kind.model_class}: {wanted} is not among {sorted(weights.files)} ({weights.source})")
    folder = weights.files["model.safetensors"].parent
    network, info = getattr(transformers, kind.model_class).from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    wrong = sorted(info["missing_keys"]) + sorted(info["mismatched_keys"])
    if wrong:
        raise WeightsInvalid(f"{weights.source}: {len(wrong)} tensors missing or misshapen, first {wrong[0]}")
    return network
