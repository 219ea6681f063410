"""SNAC through its package: three streams at different rates, `coarse`, `middle` and `fine`, one codebook each.

Its decoder adds noise. Here the noise is drawn anew from one seed for every message, so that the same codes always give the
same wave. Weights are the published folder, config.json and pytorch_model.bin. Setting: `config`, numbers of the
architecture for random weights.

Reference: Siuzdak et al., SNAC: Multi-Scale Neural Audio Codec (2024), arXiv 2410.14411.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.adapters._network import NetworkCodec, array, read_state, taken_over, tokens
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Part
from bench.errors import BadCard, BenchError, UnknownName, WeightsInvalid, WeightsMissing
from bench.fetch.weights import Weights
from bench.models.blocks.states import load_strict

if TYPE_CHECKING:
    import torch

VERSION = "1"

NAMES = ("coarse", "middle", "fine")
NOISE_SEED = 0
SPEECH: Mapping[str, Any] = {
    "sampling_rate": 24000, "encoder_dim": 48, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2], "attn_window_size": None, "codebook_size": 4096, "codebook_dim": 8,
    "vq_strides": [4, 2, 1], "noise": True, "depthwise": True,
}  # fmt: skip
"""The released model for speech, 24 kHz."""


class Snac(NetworkCodec):
    """One network of three quantizers, the first ones slower than the last by `vq_strides`."""

    def __init__(self, network: torch.nn.Module, device: str = "cpu") -> None:
        from torch.nn import Parameter
        from torch.nn.utils import parametrize

        for layer in network.modules():
            if parametrize.is_parametrized(layer, "weight"):  # the same values, computed once
                held = cast("torch.Tensor", layer.weight)
                weight = Parameter(held.detach().clone(), requires_grad=False)
                parametrize.remove_parametrizations(layer, "weight")
                delattr(layer, "weight")
                layer.weight = weight
        super().__init__(network, device)
        net = self.network
        self.sample_rate, hop = int(net.sampling_rate), int(net.hop_length)
        self.frame = hop * int(np.lcm(net.vq_strides[0], net.attn_window_size or 1))
        self.feature_rate_hz = self.sample_rate / hop
        self.rates = [self.feature_rate_hz / stride for stride in net.vq_strides]
        self.sizes = (int(net.codebook_size),)

    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        streams = zip(NAMES, self.rates, self.network.encode(wave[None]), strict=True)
        return tuple(tokens(name, rate, self.sizes, indices[..., None]) for name, rate, indices in streams)

    def wave(self, codes: Codes) -> torch.Tensor:
        import torch

        indices = [self.indices(codes, name, self.sizes)[..., 0] for name in NAMES]
        devices = [self.device] if str(self.device).startswith("cuda") else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(NOISE_SEED)
            return self.network.decode(indices)[0]

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """The encoder's output before quantization, [N, D] at the rate of `fine`."""
        import torch

        with torch.inference_mode():
            return array(self.network.encoder(self.network.preprocess(self.tensor(wave)[None]))[0].T)

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """One table [V, 8] per stream."""
        books = self.network.quantizer.quantizers
        return {name: [array(book.codebook.weight)] for name, book in zip(NAMES, books, strict=True)}


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. BenchError: the package is not installed; WeightsInvalid: of something else."""
    check_settings(point, (), ("config",))
    changes = dict(point.settings.get("config", {}))
    for key in changes:
        if key not in SPEECH:
            raise BadCard(f"{point.name}: {UnknownName('dimension', key, SPEECH)}")
    kind = _package()
    if weights.kind == "random":
        import torch

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(weights.seed)
            network = kind(**{**SPEECH, **changes})
            _spread(network)
            return Snac(network, device)
    files = {path.name: path for path in weights.files.values()}
    for wanted in ("config.json", "pytorch_model.bin"):
        if wanted not in files:
            raise WeightsMissing(f"{point.name}: {wanted} is not among {sorted(files)} ({weights.source})")
    network = kind(**_config(point, files["config.json"]))
    state = read_state(files["pytorch_model.bin"])
    taken_over(point, lambda: load_strict(network, state, where=str(files["pytorch_model.bin"])))
    return Snac(network, device)


def _spread(network: Any) -> None:
    """Tables around what an untrained encoder makes of noise, so that many entries are used."""
    import torch
    from torch.nn import functional as F

    residual = network.encoder(network.preprocess(0.1 * torch.randn(1, 1, network.sampling_rate)))
    for book in network.quantizer.quantizers:
        pooled = F.avg_pool1d(residual, book.stride, book.stride)
        projected = F.normalize(book.in_proj(pooled)[0].T, dim=-1)
        table = book.codebook.weight
        table.copy_(projected.mean(0) + projected.std(0) * torch.randn_like(table))
        residual = residual - book(residual)[0]


def _package():  # type: ignore[no-untyped-def]
    try:
        from snac import SNAC
    except ImportError as error:
        raise BenchError("snac needs the packages snac and einops: pip install snac einops") from error
    return SNAC


def _config(point: Point, path: Any) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsInvalid(f"{path}: cannot be read as JSON ({error}); fetch it again") from error
    unknown = sorted(set(config) - set(SPEECH)) if isinstance(config, dict) else ["no settings"]
    if unknown or len(config.get("vq_strides", SPEECH["vq_strides"])) != len(NAMES):
        what = ", ".join(unknown) or "vq_strides"
        raise WeightsInvalid(f"{point.name}: {path} is not of a SNAC with {len(NAMES)} streams ({what})")
    return {**SPEECH, **config}
