"""The published checkpoints of WavTokenizer (Lightning: generator, discriminators and losses in one `state_dict`) under
our names; the settings are read from the tensors' shapes.

Its norms are conditioned on one of four bandwidths. Inference always asks for the same one, so that row becomes the weight
and bias of a plain LayerNorm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from bench.models.blocks.states import StateDictError, blank, load_strict
from bench.models.blocks.weight_norm import fold_weight_norm
from bench.models.wavtokenizer.config import WavTokenizerConfig
from bench.models.wavtokenizer.model import WavTokenizer

BANDWIDTH = 0
"""The row of the conditioned norms that the published inference uses."""

GENERATOR = ("feature_extractor.", "backbone.", "head.")
# The decoder of the EnCodec that the encoder comes from, and a constant.
UNUSED = re.compile(r"feature_extractor\.encodec\.decoder\..*|head\.istft\.window")
_RENAMES = (
    (r"^feature_extractor\.encodec\.encoder\.", "encoder."),
    (r"^feature_extractor\.encodec\.quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.levels.\1."),
    (r"^head\.out\.", "head.proj."),
    (r"\.scale\.weight$", ".weight"),
    (r"\.shift\.weight$", ".bias"),
)
_ENCODER = "feature_extractor.encodec.encoder.model."
_TABLE = "feature_extractor.encodec.quantizer.vq.layers.0._codebook.embed"


def infer_config(state: Mapping[str, Tensor]) -> WavTokenizerConfig:
    """Settings of a published generator, from names and shapes; StateDictError: it is none."""
    strides = []
    for key, tensor in state.items():
        match = re.fullmatch(re.escape(_ENCODER) + r"(\d+)\.conv\.conv\.weight_v", key)
        if match:
            strides.append((int(match[1]), tensor.shape[-1] // 2))
    stages = [stride for _, stride in sorted(strides)][1:-1]  # the first and the last convolution keep the rate
    blocks = {match[1] for key in state if (match := re.match(r"backbone\.convnext\.(\d+)\.", key))}
    size, dim = _shape(state, _TABLE)
    ffn_dim, backbone_dim = _shape(state, "backbone.convnext.0.pwconv1.weight")
    return WavTokenizerConfig(
        ratios=tuple(reversed(stages)),
        n_fft=_shape(state, "head.out.weight")[0] - 2,
        width=_shape(state, _ENCODER + "0.conv.conv.weight_v")[0],
        dim=dim,
        codebook_size=size,
        backbone_dim=backbone_dim,
        ffn_dim=ffn_dim,
        layers=len(blocks),
    )


def _shape(state: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    if key not in state:
        raise StateDictError(f"no tensor {key!r}: this is not a WavTokenizer generator")
    return tuple(state[key].shape)


def from_state_dict(
    state: Mapping[str, Tensor], *, bandwidth: int = BANDWIDTH, fold: bool = True, where: str = "checkpoint"
) -> WavTokenizer:
    """A network in evaluation mode from the published tensors; what is not of the generator is left out. StateDictError
    names tensors that do not fit. `fold` puts the split weights together, which inference wants and training does not."""
    with blank():
        network = WavTokenizer(infer_config(state))
    own = {}
    for key, tensor in state.items():
        if key.startswith(GENERATOR) and not UNUSED.fullmatch(key):
            name = key
            for old, new in _RENAMES:
                name = re.sub(old, new, name)
            own[name] = tensor[bandwidth] if key.endswith((".scale.weight", ".shift.weight")) else tensor
    load_strict(network, own, where=where)
    if fold:
        fold_weight_norm(network)
    return network.eval()
