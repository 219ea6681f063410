"""Stable Codec behind the one interface: `tokens`, one column per stage of its bottleneck, 25 Hz.

Waves go in as they are: the official program brings files to -20 LUFS first and does not send the gain. Settings: `bottleneck`
(train, 1x46656, 2x15625, 4x729); `topk` (neighbours averaged in voice conversion, one stage); `config` changes dimensions for
random weights. The dimensions of published weights are read from the model_config.json beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.adapters._network import NetworkCodec, array, configured, named_file, read_state, taken_over, tokens
from bench.cards import Point
from bench.coding.codec import Codec, Wave, check_wave, fit, pad
from bench.coding.codes import Codes, Part
from bench.errors import BadAudio, UnknownName, WeightsInvalid
from bench.fetch.weights import Weights
from bench.models.blocks.matching import convert_feats
from bench.models.stablecodec import (
    BOTTLENECKS,
    StableCodec,
    StableCodecConfig,
    from_model_config,
    random_model,
)
from bench.models.stablecodec import load as load_network

if TYPE_CHECKING:
    import torch

VERSION = "1"

CONFIG_FILE = "model_config.json"
# Most entries of a codebook that is given as a table: the train-time one would take 600 MB.
MOST_ENTRIES = 2**17


class StableCodecAdapter(NetworkCodec):
    """One network with one bottleneck."""

    def __init__(self, network: StableCodec, topk: int = 4, device: str = "cpu") -> None:
        super().__init__(network, device)
        config = network.config
        self.config, self.topk = config, topk
        self.sample_rate, self.frame, self.feature_rate_hz = config.sample_rate, config.hop, config.frame_rate_hz
        self.sizes = tuple(stage.codes for stage in network.bottleneck.stages)

    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        return (tokens("tokens", self.feature_rate_hz, self.sizes, self.network.encode(wave)),)

    def wave(self, codes: Codes) -> torch.Tensor:
        return self.network.decode(self.indices(codes, "tokens", self.sizes))

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """tanh of the latents, what is quantised, [N, 6]."""
        import torch

        with torch.inference_mode():
            return array(torch.tanh(self.network.latents(self.tensor(wave)))[0].T)

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.network.encoder, "decoder": self.network.decoder}


class WithTables(StableCodecAdapter):
    """A bottleneck whose codebooks are small enough to be given as tables."""

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """`tokens`: the values of all codes of each stage [codes, 6]."""
        return {"tokens": [array(stage.table()) for stage in self.network.bottleneck.stages]}


class OneStage(StableCodecAdapter):
    """A single codebook, which cannot be taken apart: conversion goes by nearest neighbours."""

    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """Each dequantised frame of `source` [T] becomes the mean of its topk nearest continuous frames (cosine) of the
        enrolment, the rule of FocalCodec (arXiv 2502.04465, section 4.3) for codecs of one codebook."""
        import torch

        if not enrolment:
            raise BadAudio("voice conversion needs at least one enrolment wave of the target speaker")
        said = pad(self, check_wave(source, "source"))
        voices = [pad(self, check_wave(wave, "enrolment")) for wave in enrolment]
        with torch.inference_mode():
            matching = torch.cat([torch.tanh(self.network.latents(self.tensor(voice)))[0].T for voice in voices])
            values = self.network.dequantize(self.network.encode(self.tensor(said))).transpose(1, 2)
            wave = self.network.synthesize(convert_feats(values, matching, self.topk).transpose(1, 2))[0]
        return fit(self, wave.cpu().numpy(), len(source))


class OneStageWithTables(OneStage, WithTables):
    """Both."""


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: files of something else, or without model_config.json."""
    config = configured(point, StableCodecConfig(sample_rate=point.sample_rate), (), ("bottleneck", "topk"))
    name = str(point.settings.get("bottleneck", ""))
    if name not in BOTTLENECKS:
        raise UnknownName(f"bottleneck of {point.name}", name, BOTTLENECKS)
    bottleneck = BOTTLENECKS[name]
    if weights.kind == "random":
        network = random_model(config, bottleneck, weights.seed)
    else:
        path = named_file(point, weights, (".safetensors", ".ckpt"))
        read = taken_over(point, lambda: from_model_config(_settings(point, weights)))
        if read.sample_rate != point.sample_rate:
            raise WeightsInvalid(f"{point.name}: weights for {read.sample_rate} Hz, the card says {point.sample_rate} Hz")
        network = taken_over(point, lambda: load_network(read_state(path), read, bottleneck, str(path)))
    one, small = len(bottleneck.stages) == 1, max(stage.codes for stage in bottleneck.stages) <= MOST_ENTRIES
    kinds = {(True, True): OneStageWithTables, (True, False): OneStage, (False, True): WithTables}
    return kinds.get((one, small), StableCodecAdapter)(network, int(point.settings.get("topk", 4)), device)


def _settings(point: Point, weights: Weights) -> Mapping[str, Any]:
    path: Path | None = weights.files.get(CONFIG_FILE)
    if path is None:
        raise WeightsInvalid(
            f"{point.name}: {weights.source} has no {CONFIG_FILE}, which says how the network is built; "
            "fetch it with the weights, put both in a folder and pass WEIGHTS=FOLDER"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsInvalid(f"{path} is no JSON ({error}); fetch it again") from error
