"""The published checkpoint of BigCodec (`bigcodec.pt`: the state dicts `CodecEnc` and `generator`) under our names; the
settings are read from the tensors' shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from bench.models.bigcodec.config import BigCodecConfig
from bench.models.bigcodec.model import BigCodec
from bench.models.blocks.snake_beta import half_band
from bench.models.blocks.states import StateDictError, blank, load_strict
from bench.models.blocks.weight_norm import fold_weight_norm

# The filter of every activation, a constant here.
_FILTER = re.compile(r".*\.(upsample|downsample\.lowpass)\.filter")
_RENAMES = (
    (r"^CodecEnc\.block\.", "encoder."),
    (r"^generator\.model\.", "decoder."),
    (r"^generator\.quantizer\.layers\.", "quantizer.levels."),
    (r"\._codebook\.", ".codebook."),
)


def infer_config(state: Mapping[str, Tensor]) -> BigCodecConfig:
    """Settings of a published state dict, from names and shapes, which do not tell the dilations (taken as 1, 3, 9).
    StateDictError: it is no BigCodec."""
    width = _shape(state, "CodecEnc.block.0.weight_v")[0]
    downs = {}
    for key, tensor in state.items():
        match = re.fullmatch(r"CodecEnc\.block\.(\d+)\.block\.4\.weight_v", key)
        if match:
            downs[int(match[1])] = tensor.shape[-1] // 2
    lstm = f"CodecEnc.block.{len(downs) + 1}.lstm.weight_ih_l"
    books = {match[1] for key in state if (match := re.match(r"generator\.quantizer\.layers\.(\d+)\.", key))}
    size, code_dim = _shape(state, "generator.quantizer.layers.0._codebook.weight")
    decoder_width, dim, _ = _shape(state, "generator.model.0.weight_v")
    return BigCodecConfig(
        width=width,
        strides=tuple(stride for _, stride in sorted(downs.items())),
        lstm_layers=sum(key.startswith(lstm) and not key.endswith("_reverse") for key in state),
        bidirectional=f"{lstm}0_reverse" in state,
        dim=dim,
        decoder_width=decoder_width,
        codebooks=len(books),
        codebook_size=size,
        code_dim=code_dim,
    )


def _shape(state: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    if key not in state:
        raise StateDictError(f"no tensor {key!r}: this is not a BigCodec network")
    return tuple(state[key].shape)


def from_state_dict(state: Mapping[str, Tensor], *, fold: bool = True, where: str = "checkpoint") -> BigCodec:
    """A network in evaluation mode from the published tensors, named `CodecEnc.` and `generator.`; StateDictError names
    those that do not fit. `fold` puts the split weights together, which inference wants and training does not."""
    config, own, expected = infer_config(state), {}, half_band()
    for key, tensor in state.items():
        if _FILTER.fullmatch(key):
            if not tensor.is_meta and not torch.allclose(tensor.float().flatten(), expected, atol=1e-6):
                raise StateDictError(f"{key} is not the low pass that this network's activations use")
            continue
        name = key
        for old, new in _RENAMES:
            name = re.sub(old, new, name)
        own[name] = tensor
    with blank():
        network = BigCodec(config)
    load_strict(network, own, where=where)
    for module in network.modules():
        if "kernel" in module._buffers:
            module.register_buffer("kernel", expected, persistent=False)  # on no device so far; no file carries it
    if fold:
        fold_weight_norm(network)
    return network.eval()
