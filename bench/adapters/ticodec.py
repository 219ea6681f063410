"""TiCodec and HiFi-Codec behind the one interface: `codes` (groups x residual layers) and, TiCodec, `global` (once).

Conversion (TiCodec) takes the codes of the source and the global codes of the enrolment, as its paper does; HiFi-Codec has
no global codes. Settings: `strides`, `kernels`, `groups`, `layers` and `global_codes`, the dimensions that tell the
published models apart; `config` changes further ones for random weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.adapters._network import NetworkCodec, array, configured, named_file, read_state, taken_over, tokens
from bench.cards import Point
from bench.coding.codec import Codec, Wave, check_wave, fit, pad
from bench.coding.codes import Codes, Part
from bench.errors import BadAudio
from bench.fetch.weights import Weights
from bench.models.ticodec import TICODEC, TiCodec, random_model
from bench.models.ticodec import load as load_network
from bench.models.ticodec.checkpoint import PARTS
from bench.models.ticodec.model import Streams

VERSION = "1"
if TYPE_CHECKING:
    import torch

_SETTINGS = ("strides", "kernels", "groups", "layers", "global_codes")


class HiFiCodecAdapter(NetworkCodec):
    """One network without global codes. Whole frames only: the encoder's third stride would lose the rest."""

    def __init__(self, network: TiCodec, device: str = "cpu") -> None:
        super().__init__(network, device)
        config = network.config
        self.config, self.sample_rate, self.frame = config, config.sample_rate, config.hop
        self.feature_rate_hz = config.frame_rate_hz
        self.sizes = (config.codes,) * (config.layers * config.groups)
        self.global_sizes = (config.codes,) * config.global_codes

    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        local, once = self.network.encode(wave)
        sent = tokens("codes", self.feature_rate_hz, self.sizes, local)
        return (sent,) if once is None else (sent, tokens("global", 0.0, self.global_sizes, once[None]))

    def wave(self, codes: Codes) -> torch.Tensor:
        local = self.indices(codes, "codes", self.sizes)
        once = self.indices(codes, "global", self.global_sizes)[0] if self.global_sizes else None
        return self.network.decode(Streams(local, once))

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """The encoder's output before quantization, [N, dim]."""
        import torch

        with torch.inference_mode():
            return array(self.network.encoder(self.tensor(wave)[:, None])[0][0].T)

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """`codes`: one table [codes, dim / groups] per codebook, layer by layer."""
        quantizer = self.network.quantizer
        return {"codes": [array(table.embedding.weight) for name in quantizer.names for table in quantizer.tables(name)]}


class TiCodecAdapter(HiFiCodecAdapter):
    """With global codes, and therefore conversion."""

    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """Codes of `source` [T], global codes of `enrolment` -> wave [T]."""
        if not enrolment:
            raise BadAudio("voice conversion needs at least one enrolment wave of the target speaker")
        said = pad(self, check_wave(source, "source"))
        voice = pad(self, np.concatenate([check_wave(wave, "enrolment") for wave in enrolment]))
        spoken, target = self.encode([said, voice])
        mixed = Codes((spoken.part("codes"), target.part("global")), spoken.num_samples, self.sample_rate)
        return fit(self, self.decode([mixed])[0], len(source))


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: a checkpoint of something else, or of other dimensions."""
    config = configured(point, dataclasses.replace(TICODEC, sample_rate=point.sample_rate), _SETTINGS)
    if weights.kind == "random":
        network = random_model(config, weights.seed)
    else:
        path = named_file(point, weights)
        network = taken_over(point, lambda: load_network(read_state(path, keep=PARTS), config, str(path)))
    return TiCodecAdapter(network, device) if config.global_codes else HiFiCodecAdapter(network, device)
