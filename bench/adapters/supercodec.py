"""SuperCodec behind the one interface: `codes`, the first codebooks of its residual quantiser.

Its authors publish code and no weights: WEIGHTS=FILE takes a state dict of that code (or of ours), whose shapes say how the
network is built. Utterances run one by one: gates average over the whole clip. Settings: `codebooks`, how many are sent;
`strides` and `config` (dimensions) for random weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.adapters import check_settings
from bench.adapters._network import NetworkCodec, array, named_file, read_state, taken_over, tokens
from bench.cards import Point
from bench.coding.codec import Codec, Wave
from bench.coding.codes import Codes, Part
from bench.errors import BadCard, WeightsInvalid
from bench.fetch.weights import Weights
from bench.models.blocks.states import StateDictError, load_strict
from bench.models.freecodec.supercodec import SuperCodec, from_published

if TYPE_CHECKING:
    import torch

VERSION = "1"

_DIMENSIONS = ("channels", "multipliers", "dim", "codes", "books")
# The decoder's first convolution reflects six frames.
LEAST_FRAMES = 7


class SuperCodecAdapter(NetworkCodec):
    """One network at one number of codebooks."""

    def __init__(self, network: SuperCodec, sample_rate: int, codebooks: int, device: str = "cpu") -> None:
        super().__init__(network, device)
        self.sample_rate, self.frame = sample_rate, network.hop
        self.min_samples = LEAST_FRAMES * network.hop
        self.feature_rate_hz = sample_rate / network.hop
        self.sizes = (network.quantizer.size,) * codebooks

    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        _, indices = self.network.encode(wave)
        return (tokens("codes", self.feature_rate_hz, self.sizes, indices[..., : len(self.sizes)]),)

    def wave(self, codes: Codes) -> torch.Tensor:
        return self.network.decode(self.indices(codes, "codes", self.sizes, LEAST_FRAMES))

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """The encoder's output before quantization, [N, dim]."""
        import torch

        with torch.inference_mode():
            return array(self.network.encode(self.tensor(wave))[0][0].T)

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """`codes`: one table [codes, dim] per codebook that is sent."""
        return {"codes": [array(level.embed) for level in list(self.network.quantizer.levels)[: len(self.sizes)]]}


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: a file of something else, or one that does not make its rate."""
    check_settings(point, ["codebooks", "strides"], ["config"])
    codebooks = int(point.settings["codebooks"])
    if weights.kind == "random":
        network = _random(point, codebooks, weights.seed)
    else:
        path = named_file(point, weights)
        network = taken_over(point, lambda: _network(read_state(path), str(path)))
    rate, wanted = point.sample_rate / network.hop, point.streams[0].rate_hz if point.streams else None
    if wanted is not None and rate != wanted:
        raise WeightsInvalid(f"{point.name}: these weights make {rate:g} frames a second, the card says {wanted:g}")
    if not 1 <= codebooks <= len(network.quantizer.levels):
        has = len(network.quantizer.levels)
        raise WeightsInvalid(f"{point.name}: {codebooks} codebooks are to be sent, the weights have {has}")
    return SuperCodecAdapter(freeze(network), point.sample_rate, codebooks, device)


def freeze(network: SuperCodec) -> SuperCodec:
    """Evaluation mode with plain weights: the same function, faster."""
    from torch import nn
    from torch.nn.utils import parametrize

    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Conv1d) and parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return network


def _network(found: Mapping[str, torch.Tensor], where: str) -> SuperCodec:
    """The network whose state dict this is, under the published names or ours, perhaps behind a common beginning."""
    first = re.compile(r"(.*?)encoder\.0\.conv\.weight$")
    heads = sorted((match[1] for key in found if (match := first.match(key))), key=len)
    if not heads:
        raise StateDictError(f"{where}: no tensor encoder.0.conv.weight; this is no state dict of SuperCodec")
    plain = {key.removeprefix(heads[0]): value for key, value in found.items() if key.startswith(heads[0])}
    state = {_parametrized(key): value for key, value in from_published(plain).items()}
    names = (f"encoder.{number}.down_first.conv.weight" for number in range(1, len(state)))
    downs = [state[name].shape for name in names if name in state]
    books = [value.shape for key, value in sorted(state.items()) if re.fullmatch(r"quantizer\.levels\.\d+\.embed", key)]
    if not downs or not books:
        raise StateDictError(f"{where}: no blocks, or no codebooks; this is no state dict of SuperCodec")
    channels = state["encoder.0.conv.weight"].shape[0]
    multipliers, strides = [shape[0] // channels for shape in downs], [shape[2] // 2 for shape in downs]
    network = SuperCodec(channels, multipliers, strides, dim=books[0][1], codes=books[0][0], books=len(books))
    load_strict(network, state, (), where)
    return network


def _parametrized(name: str) -> str:
    """torch renamed the two halves of a normalised weight; the published code has the old names."""
    for number, old in enumerate(("weight_g", "weight_v")):
        name = re.sub(rf"\.{old}$", f".parametrizations.weight.original{number}", name)
    return name


def _random(point: Point, codebooks: int, seed: int) -> SuperCodec:
    """Seeded random weights whose codes vary: for tests, never for results."""
    import torch

    sizes: dict[str, Any] = dict(point.settings.get("config", {}))
    if unknown := sorted(set(sizes) - set(_DIMENSIONS)):
        raise BadCard(f"{point.name}: unknown dimension '{unknown[0]}'; known: {', '.join(_DIMENSIONS)}")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = SuperCodec(strides=point.settings["strides"], **{"books": codebooks, **sizes}).eval()
        latent = network.encode(0.1 * torch.randn(1, 100 * network.hop))[0][0].T
        for depth, level in enumerate(network.quantizer.levels):
            spread = 0.7**depth * latent.std(0) * torch.randn_like(level.embed)  # type: ignore[arg-type]
            level.embed.copy_(spread + (latent.mean(0) if depth == 0 else 0.0))  # type: ignore[operator]
    return network
