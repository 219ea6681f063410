"""The encoders of wav2vec 2.0 base and WavLM base, as transformers has them, for rows of different lengths.

Transformers' own masks leave the group norm of the first convolution running over the padding, so that a row depends on
its neighbours. Without lengths, values are those of transformers' forward pass, bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.metrics.networks import masks


def convolution_shapes(model: Any) -> list[tuple[int, int]]:
    """(kernel, stride) of the convolutions that make frames of samples."""
    return list(zip(model.config.conv_kernel, model.config.conv_stride, strict=True))


def hidden_states(model: Any, waves: Tensor, lengths: Tensor | None = None) -> list[Tensor]:
    """Outputs [B, N, 768] of the embedding and of every transformer layer of a Wav2Vec2Model or WavLMModel.

    waves: [B, T]. lengths: samples of every row [B], None when all have T; frames beyond a row's own are of no meaning.
    """
    shapes = convolution_shapes(model)
    frames = None if lengths is None else masks.after_convolutions(lengths, shapes)
    hidden, _ = model.feature_projection(_convolutions(model, waves, lengths, shapes).transpose(1, 2))
    there = None
    if frames is not None:
        there = masks.valid(frames, hidden.shape[1])
        hidden = hidden.masked_fill(~there[..., None], 0.0)
    encoder = model.encoder
    hidden = encoder.dropout(encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden)))
    states = [hidden]
    if type(model).__name__ == "WavLMModel":
        bias = None
        for index, layer in enumerate(encoder.layers):
            hidden, bias = layer(hidden, attention_mask=there, position_bias=bias, index=index)
            states.append(hidden)
        return states
    mask = None if there is None else torch.zeros_like(there, dtype=hidden.dtype).masked_fill(~there, float("-inf"))
    for layer in encoder.layers:
        hidden = layer(hidden, attention_mask=None if mask is None else mask[:, None, None])
        states.append(hidden)
    return states


def _convolutions(model: Any, waves: Tensor, lengths: Tensor | None, shapes: list[tuple[int, int]]) -> Tensor:
    """Convolution features [B, 512, N] of waves [B, T]."""
    if lengths is None:
        return model.feature_extractor(waves)
    first, *others = model.feature_extractor.conv_layers
    x = first.conv(waves[:, None])
    x = first.activation(masks.channel_norm(first.layer_norm, x, masks.after_convolutions(lengths, shapes[:1])))
    for layer in others:
        x = layer(x)
    return x
