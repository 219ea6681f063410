"""BigCodec behind the one interface: `codes`, one codebook of 8192 entries.

Weights are the published pickle with its two state dicts; the dimensions are read from its tensors and must be the released
ones. `config` changes dimensions for random weights.
"""

from __future__ import annotations

from bench.adapters._codebooks import SingleCodebookCodec, untrained
from bench.adapters._network import configured, named_file, read_state, taken_over
from bench.cards import Point
from bench.coding.codec import Codec
from bench.errors import WeightsInvalid
from bench.fetch.weights import Weights
from bench.models.bigcodec import BigCodec, BigCodecConfig, from_state_dict

VERSION = "1"

PARTS = ("CodecEnc.", "generator.")


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: a checkpoint of something else, or of other dimensions."""
    config = configured(point, BigCodecConfig())
    if weights.kind == "random":
        return SingleCodebookCodec(untrained(lambda: BigCodec(config), weights.seed), device=device)
    path = named_file(point, weights, (".pt", ".pth", ".safetensors"))
    network = taken_over(point, lambda: from_state_dict(read_state(path, keep=PARTS), where=str(path)))
    if network.config != config:
        raise WeightsInvalid(f"{point.name}: {path} is another network ({network.config}) than the card's ({config})")
    return SingleCodebookCodec(network, device=device)
