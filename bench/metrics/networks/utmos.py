"""The network of UTMOS: wav2vec 2.0 base, a bidirectional LSTM and two linear layers, from the released checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bench.errors import WeightsInvalid
from bench.metrics.networks import Batch, masks, wav2vec2
from bench.models.blocks.states import blank

LAYERS = 12
# Names of the checkpoint (fairseq's) -> names of transformers' Wav2Vec2Model, in the order they are tried.
RENAMES = (
    (r"feature_extractor\.conv_layers\.(\d)\.0\.weight", r"feature_extractor.conv_layers.\1.conv.weight"),
    (r"feature_extractor\.conv_layers\.0\.2\.(.*)", r"feature_extractor.conv_layers.0.layer_norm.\1"),
    (r"layer_norm\.(.*)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(.*)", r"feature_projection.projection.\1"),
    (r"encoder\.pos_conv\.0\.bias", r"encoder.pos_conv_embed.conv.bias"),
    (r"encoder\.pos_conv\.0\.weight_g", r"encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"encoder\.pos_conv\.0\.weight_v", r"encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"(encoder\.layers\.\d+)\.self_attn_layer_norm\.(.*)", r"\1.layer_norm.\2"),
    (r"(encoder\.layers\.\d+)\.self_attn\.(.*)", r"\1.attention.\2"),
    (r"(encoder\.layers\.\d+)\.fc1\.(.*)", r"\1.feed_forward.intermediate_dense.\2"),
    (r"(encoder\.layers\.\d+)\.fc2\.(.*)", r"\1.feed_forward.output_dense.\2"),
    (r"mask_emb", r"masked_spec_embed"),
)


class Utmos(nn.Module):
    """wave [B, T] at 16 kHz -> score [B]."""

    def __init__(self) -> None:
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        super().__init__()
        self.wav2vec2 = Wav2Vec2Model(Wav2Vec2Config(layer_norm_eps=1e-5, num_hidden_layers=LAYERS))
        self.domain_emb = nn.Parameter(torch.zeros(1, 128))
        self.judge_emb = nn.Parameter(torch.zeros(1, 128))
        self.blstm = nn.LSTM(1024, 512, batch_first=True, bidirectional=True)
        self.projection = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 1))

    def forward(self, batch: Batch) -> Tensor:
        frames = wav2vec2.hidden_states(self.wav2vec2, batch.rows, batch.lengths)[-1]
        fixed = torch.cat([self.domain_emb, self.judge_emb], dim=1).expand(*frames.shape[:2], -1)
        x = torch.cat([frames, fixed], dim=-1)
        if batch.lengths is None:
            hidden, _ = self.blstm(x)
            return self.projection(hidden).mean(dim=(1, 2)) * 2.0 + 3.0
        shapes = wav2vec2.convolution_shapes(self.wav2vec2)
        counts = torch.tensor([masks.after_convolutions(size, shapes) for size in batch.sizes])
        # Batches come with the longest first. Unless told so, torch sorts, and the device is waited for.
        falling = list(batch.sizes) == sorted(batch.sizes, reverse=True)
        packed, _ = self.blstm(pack_padded_sequence(x, counts, batch_first=True, enforce_sorted=falling))
        hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        frame_counts = masks.after_convolutions(batch.lengths, shapes)
        return masks.mean(self.projection(hidden), frame_counts)[:, 0] * 2.0 + 3.0


def rename(key: str) -> str:
    """A key of the checkpoint -> the key of the network."""
    if not key.startswith("wav2vec2."):
        return key
    inner = key.removeprefix("wav2vec2.")
    for pattern, replacement in RENAMES:
        if re.fullmatch(pattern, inner):
            return "wav2vec2." + re.sub(pattern, replacement, inner)
    return key


def from_state(state: Mapping[str, Any], source: str) -> Utmos:
    """The network with the checkpoint's tensors. Raises WeightsInvalid naming the first keys that do not fit."""
    # The network takes over the checkpoint's tensors instead of drawing and copying.
    with blank():
        network = Utmos()
    renamed = {rename(key): tensor for key, tensor in state.items()}
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    wrong = sorted(
        set(wanted.keys() ^ renamed.keys())
        | {key for key in wanted.keys() & renamed.keys() if tuple(renamed[key].shape) != wanted[key]}
    )
    if wrong:
        raise WeightsInvalid(f"{source}: not a UTMOS22 strong checkpoint; {len(wrong)} tensors differ: {wrong[:4]}")
    network.load_state_dict(renamed, assign=True)
    return network.eval()
