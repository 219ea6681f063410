"""A WavLM-form encoder that starts from a Whisper encoder's blocks and learns its features from the waveform.

Both are pre-norm transformers; what differs is the input (strided convolutions of samples against a log-mel spectrogram)
and where positions come from (a convolution and a gated relative bias against sinusoids). So the blocks are copied, and
the convolutions are trained towards what Whisper's blocks get and give, with the sinusoids taken out of both.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from bench.errors import BadCard
from bench.models.focalcodec.wavlm import WavLM
from bench.train.whisper import WhisperEncoder


@torch.no_grad()
def copy_blocks(encoder: WavLM, whisper: WhisperEncoder) -> None:
    """Set the encoder's first layers to Whisper's first blocks. Raises BadCard where the sizes differ."""
    layers: Any = encoder.encoder.layers
    blocks: Any = whisper.blocks
    for layer, block in zip(layers, blocks, strict=False):
        query, key, value, out = (block.attn[name] for name in ("query", "key", "value", "out"))
        if layer.attention.qkv_proj.in_features != query.in_features:
            sizes = f"{layer.attention.qkv_proj.in_features} and {query.in_features}"
            raise BadCard(f"loss.copy_whisper: encoder and Whisper differ in width, {sizes}; set encoder_config.dim")
        layer.attention_norm.load_state_dict(block.attn_ln.state_dict())
        layer.feed_forward_norm.load_state_dict(block.mlp_ln.state_dict())
        layer.attention.qkv_proj.weight.copy_(torch.cat([query.weight, key.weight, value.weight]))
        layer.attention.qkv_proj.bias.copy_(torch.cat([query.bias, torch.zeros_like(query.bias), value.bias]))
        layer.attention.out_proj.load_state_dict(out.state_dict())
        layer.feed_forward.in_proj.load_state_dict(block.mlp[0].state_dict())
        layer.feed_forward.out_proj.load_state_dict(block.mlp[2].state_dict())
    # Whisper has no positional convolution: it starts small.
    convolution: Any = encoder.encoder.positional_embedding.conv
    convolution.weight.mul_(0.1)
    convolution.bias.zero_()


def stem_and_blocks(encoder: WavLM, wave: Tensor) -> tuple[Tensor, Tensor]:
    """What goes into the encoder's layers and what comes out: wave [B, N] -> two of [B, T, dim]."""
    learns = encoder.feature_proj.weight.requires_grad
    exact = nullcontext() if learns else torch.autocast(wave.device.type, enabled=False)
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()), exact:
        stem = encoder.feature_proj(encoder.norm(encoder.feature_extractor(wave, None, None)[0]))
    return stem, encoder.encoder(stem, None, None)[0]


@torch.no_grad()
def taught(whisper: WhisperEncoder, wave: Tensor) -> tuple[Tensor, Tensor]:
    """The same of Whisper, without its sinusoids: wave [B, N] -> two of [B, T, dim]."""
    stem = whisper.stem(wave)
    positions = whisper.positional_embedding[: stem.shape[1]]
    x = stem + positions
    for block in whisper.blocks:
        x = block(x)
    return stem.float(), x.float() - positions


def encoder_losses(
    encoder: WavLM, whisper: WhisperEncoder, wave: Tensor, margin: int, heard: Tensor | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """L1 to Whisper's stem and last block, every channel divided by its spread over the batch; and the features.

    wave [B, N]; Whisper hears all but the last `margin` samples, the encoder `heard` [B, N] where that is given. With a margin
    the encoder's windows start at sample 320 t, while Whisper's are centred there: Whisper's frame t + 1 is its frame t.
    """
    losses = {}
    given = stem_and_blocks(encoder, wave if heard is None else heard)
    first = 1 if margin else 0
    pairs = zip(("stem", "blocks"), given, taught(whisper, wave[:, : wave.shape[1] - margin]), strict=True)
    for name, ours, theirs in pairs:
        theirs = theirs[:, first:]
        frames = min(ours.shape[1], theirs.shape[1])
        spread = theirs.std(dim=(0, 1), keepdim=True).clamp_min(1e-2)
        losses[name] = ((ours[:, :frames].float() - theirs[:, :frames]) / spread).abs().mean()
    return losses, given[1]
