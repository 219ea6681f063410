"""WavTokenizer behind the one interface: `codes`, one codebook of 4096 entries.

Weights are the published Lightning checkpoint, of which the generator is kept; its dimensions are read from its tensors and
must be those of the card's `preset` (40 or 75 frames a second). `config` changes dimensions for random weights.
"""

from __future__ import annotations

from bench.adapters import check_settings
from bench.adapters._codebooks import SingleCodebookCodec, untrained
from bench.adapters._network import configured, named_file, read_state, taken_over
from bench.cards import Point
from bench.coding.codec import Codec
from bench.errors import BadCard, UnknownName, WeightsInvalid
from bench.fetch.weights import Weights
from bench.models.wavtokenizer import PRESETS, WavTokenizer, from_state_dict
from bench.models.wavtokenizer.checkpoint import GENERATOR

VERSION = "1"


def load(point: Point, weights: Weights, device: str) -> Codec:
    """The codec of an operating point. WeightsInvalid: a checkpoint of something else, or of other dimensions."""
    check_settings(point, ("preset",), ("config",))
    preset = str(point.settings["preset"])
    if preset not in PRESETS:
        raise BadCard(f"{point.name}: {UnknownName('preset', preset, PRESETS)}")
    config = configured(point, PRESETS[preset], ignored=("preset",))
    if weights.kind == "random":
        return SingleCodebookCodec(untrained(lambda: WavTokenizer(config), weights.seed), device=device)
    path = named_file(point, weights, (".ckpt", ".pt", ".pth", ".safetensors"))
    inside = "" if path.suffix == ".safetensors" else "state_dict"
    network = taken_over(point, lambda: from_state_dict(read_state(path, inside=inside, keep=GENERATOR), where=str(path)))
    if network.config != config:
        raise WeightsInvalid(f"{point.name}: {path} is another network ({network.config}) than the card's ({config})")
    return SingleCodebookCodec(network, device=device)
