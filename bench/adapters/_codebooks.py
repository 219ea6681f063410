"""What adapters of networks with one stream of residual codebooks share, and conversion for those with a single one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.adapters._network import NetworkCodec, array, tokens
from bench.cards import Point
from bench.coding.codec import Wave, check_wave
from bench.coding.codes import Codes, Part
from bench.errors import BadAudio, BadCard

if TYPE_CHECKING:
    import torch

NEIGHBOURS = 4


class CodebookCodec(NetworkCodec):
    """One stream `codes` of the first `codebooks` codebooks of a network.

    The network has `config` (sample_rate, hop, frame_rate, codebook_size), `embed` [1, T] -> [1, N, D], `encode` [1, T] ->
    [K, 1, N], `decode` [K, 1, N] -> [1, T'] and `tables()`, what each codebook's indices stand for. It takes any length.
    """

    def __init__(self, network: torch.nn.Module, codebooks: int = 1, device: str = "cpu") -> None:
        super().__init__(network, device)
        config = self.network.config
        self.sample_rate = config.sample_rate
        self.feature_rate_hz = config.frame_rate
        self.sizes = (config.codebook_size,) * codebooks

    def parts(self, wave: torch.Tensor) -> tuple[Part, ...]:
        indices = self.network.encode(wave)[: len(self.sizes)]
        return (tokens("codes", self.feature_rate_hz, self.sizes, indices.movedim(0, -1)),)

    def wave(self, codes: Codes) -> torch.Tensor:
        return self.network.decode(self.indices(codes, "codes", self.sizes).movedim(-1, 0))

    def features(self, wave: Wave) -> NDArray[np.float32]:
        """The encoder's output before quantization, [N, D]."""
        import torch

        with torch.inference_mode():
            return array(self.network.embed(self.tensor(wave))[0])

    def codebooks(self) -> Mapping[str, Sequence[NDArray[np.float32]]]:
        """`codes`: one table [V, D] per codebook that is sent."""
        import torch

        with torch.inference_mode():
            return {"codes": [array(table) for table in self.network.tables()[: len(self.sizes)]]}


class SingleCodebookCodec(CodebookCodec):
    """A network of one codebook: it cannot be taken apart, so it converts by nearest neighbours. It also has
    `decode_embedding` [1, N, D] -> [1, T']."""

    def convert(self, source: Wave, enrolment: Sequence[Wave]) -> Wave:
        """Words of source [T], voice of the enrolment: each codeword of the source becomes the mean of the 4 embeddings of
        the enrolment nearest to it (kNN-VC; FocalCodec, arXiv 2502.04465, section 4.3)."""
        import torch

        from bench.models.blocks.matching import convert_feats

        if not enrolment:
            raise BadAudio("voice conversion needs at least one enrolment wave of the target speaker")
        voices = [check_wave(wave, "enrolment") for wave in enrolment]
        network = self.network
        with torch.inference_mode():
            matching = torch.cat([network.embed(self.tensor(wave))[0] for wave in voices])
            said = network.quantizer.decode(network.encode(self.tensor(check_wave(source, "source"))))
            decoded = network.decode_embedding(convert_feats(said, matching, NEIGHBOURS))
        return array(decoded[0, : len(source)])


Network = TypeVar("Network", bound="torch.nn.Module")


def untrained(make: Callable[[], Network], seed: int) -> Network:
    """A network with seeded random values, ready for inference. Its tables are spread around what the encoder makes of
    noise: a nearest entry far away would be the same for every frame."""
    import torch

    from bench.models.blocks.weight_norm import fold_weight_norm

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network: Any = make().eval()
        fold_weight_norm(network)
        network.quantizer.spread(network.embed(0.1 * torch.randn(1, network.config.sample_rate))[0])
    return network


def asked(point: Point, has: int) -> int:
    """The number of codebooks that the point's settings ask for, of those that the network `has`; else BadCard."""
    wanted = point.settings["codebooks"]
    if not isinstance(wanted, int) or not 1 <= wanted <= has:
        raise BadCard(f"{point.name}: codebooks is {wanted}, must be 1 to {has}")
    return wanted
