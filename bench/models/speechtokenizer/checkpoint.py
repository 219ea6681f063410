"""The published state dict of SpeechTokenizer (`SpeechTokenizer.pt`: one flat dictionary) under our names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bench.models.blocks.states import blank, load_strict
from bench.models.blocks.weight_norm import fold_weight_norm
from bench.models.speechtokenizer.config import SpeechTokenizerConfig
from bench.models.speechtokenizer.model import SpeechTokenizer


def from_state_dict(
    state: Mapping[str, Tensor], config: SpeechTokenizerConfig | None = None, *, fold: bool = True, where: str = "checkpoint"
) -> SpeechTokenizer:
    """A network in evaluation mode from the published tensors; StateDictError names those that do not fit. `fold` puts
    the split weights together, which inference wants and training does not."""
    with blank():
        network = SpeechTokenizer(config)
    load_strict(network, {_name(key): _value(key, tensor) for key, tensor in state.items()}, where=where)
    if fold:
        fold_weight_norm(network)
    return network.eval()


def _name(key: str) -> str:
    return key.replace("quantizer.vq.layers.", "quantizer.levels.").replace("._codebook.", ".")


def _value(key: str, tensor: Tensor) -> Tensor:
    return tensor.squeeze(0) if key.endswith(".alpha") else tensor  # [1, C, 1] -> [C, 1]
