"""WavLM6-KM behind the one interface: `tokens`, one k-means codebook for each WavLM layer that is sent, 50 Hz.

A frame sees 400 samples every 320, so that a wave ends up to 80 samples, or a frame, short: as published. Settings: `layers`
(numbers of the WavLM layers), `topk` (neighbours averaged in voice conversion); `config` changes further dimensions for random
weights. The card's files hold what the authors trained; the encoder is WavLM-large, from its own repository.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.adapters._network import NetworkCodec, array, configured, read_state, taken_over, tokens
from bench.cards import Point
from bench.coding.codec import Codec, Wave, check_wave, fit, pad
from bench.coding.codes import Codes, Part
from bench.errors import BadAudio, BadCard, WeightsInvalid
from bench.fetch.sources import Source, locate
from bench.fetch.weights import Weights
from bench.models.blocks.matching import convert_feats
from bench.models.wavlm6km import WavLMKM, WavLMKMConfig, random_model
from bench.models.wavlm6km import load as load_network
from bench.models.wavlm6km.checkpoint import PARTS

VERSION = "1"
if TYPE_CHECKING:
    import torch

WAVLM_FILE = "pytorch_model.bin"
WAVLM = Source(
    "wavlm6km: its encoder's",
    (WAVLM_FILE,),
    repo="microsoft/wavlm-large",
    kept="wavlm-large",
    cure="put the file beside the others and pass WEIGHTS=FOLDER",
)
WAVLM_NAMES = (WAVLM_FILE, "model.safetensors", "wavlm-large.safetensors")


class WavLMKMAdapter(NetworkCodec):
    """One network. The whole wave is brought to zero mean and unit variance first, so nothing is padded but short waves."""

    sample_rate = 16000

    def __init__(self, network: WavLMKM, topk: int = 4, device: str = "cpu") -> None:
        super().__init__(network, device)
        config = network.config
        self.config, self.topk = config, topk
        self.hop = int(np.prod(config.strides))
        self.feature_rate_hz = self.sample_rate / self.hop
        self.min_samples = 400 + (network.least_frames - 1) * self.hop
        self.sizes = (config.codes,) * len(config.layers)

    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        return (tokens("tokens", self.feature_rate_hz, self.sizes, self.network.encode(wave)),)

    def wave(self, codes: Codes) -> torch.Tensor:
        return self.network.decode(self.indices(codes, "tokens", self.sizes, self.network.least_frames))

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """The layers' outputs side by side, [N, layers x 1024]."""
        import torch

        with torch.inference_mode():
            return array(self.network.sig_to_feats(self.tensor(wave))[0].transpose(1, 2).flatten(1))

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """`tokens`: one table of centroids [codes, 1024] a layer."""
        return {"tokens": [array(table) for table in self.network.quantizer.centroids]}

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """Encoder, dequantizer and vocoder."""
        return {name: getattr(self.network, name) for name in ("encoder", "dequantizer", "vocoder")}


class OneLayerAdapter(WavLMKMAdapter):
    """With a single codebook, which cannot be taken apart: conversion goes by nearest neighbours."""

    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """Each dequantised frame of `source` [T] becomes the mean of its topk nearest continuous frames (cosine) of the
        enrolment, as FocalCodec's authors converted with this codec (arXiv 2502.04465, section 4.3)."""
        import torch

        if not enrolment:
            raise BadAudio("voice conversion needs at least one enrolment wave of the target speaker")
        said = pad(self, check_wave(source, "source"))
        voices = [pad(self, check_wave(wave, "enrolment")) for wave in enrolment]
        with torch.inference_mode():
            matching = torch.cat([self.network.sig_to_feats(self.tensor(voice))[0, ..., 0] for voice in voices])
            feats = self.network.dequantize(self.network.encode(self.tensor(said)))[..., 0]
            wave = self.network.vocoder(convert_feats(feats, matching, self.topk)[..., None])[0]
        return fit(self, wave.cpu().numpy(), len(source))


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsMissing: a file is not there; WeightsInvalid: it holds something else."""
    layers = point.settings.get("layers")
    if not isinstance(layers, list) or not layers or not all(isinstance(layer, int) for layer in layers):
        raise BadCard(f"{point.name}: setting 'layers' must be a list of WavLM layers' numbers, not {layers!r}")
    base = WavLMKMConfig()
    base = dataclasses.replace(base, layers=tuple(layers[-1:]), encoder=dataclasses.replace(base.encoder, num_layers=layers[-1]))
    config = configured(point, base, ("layers",), ("topk",))
    if weights.kind == "random":
        network = random_model(config, weights.seed)
    else:
        state = {f"{part}.{key}": value for part in PARTS for key, value in read_state(_part(point, weights, part)).items()}
        encoder = read_state(_wavlm(point, weights))
        network = taken_over(point, lambda: load_network(state, encoder, config, weights.source))
    kind = OneLayerAdapter if len(config.layers) == 1 else WavLMKMAdapter
    return kind(network, int(point.settings.get("topk", 4)), device)


def _part(point: Point, weights: Weights, part: str) -> Path:
    """The file of quantizer, dequantizer or vocoder for this point's layers, as published: PART_1-3-6.safetensors."""
    wanted = f"{part}_{'-'.join(map(str, point.settings['layers']))}.safetensors"
    found = [path for name, path in weights.files.items() if name == wanted or name == f"{part}.safetensors"]
    if not found:
        near = [name for name in weights.files if re.match(rf"{part}_.*\.safetensors", name)]
        others = f"; {', '.join(near)} is of other layers" if near else ""
        raise WeightsInvalid(f"{point.name}: {weights.source} has no file {wanted}{others}")
    return found[0]


def _wavlm(point: Point, weights: Weights) -> Path:
    """WavLM-large beside the other files, else from its own repository."""
    for name in WAVLM_NAMES:
        if name in weights.files:
            return weights.files[name]
    return locate(WAVLM).files[WAVLM_FILE]
