"""WavLM base with a time-delay head for speaker verification, from a folder in the hub's layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.metrics.networks import Batch, masks, wav2vec2


def from_folder(folder: str) -> Any:
    """The network from `folder` (config.json and weights)."""
    from transformers import WavLMForXVector

    return WavLMForXVector.from_pretrained(folder, local_files_only=True).eval()


def random() -> Any:
    """The network with random weights, of the published shapes."""
    from transformers import WavLMConfig, WavLMForXVector

    shape: dict[str, Any] = {"use_weighted_layer_sum": True, "xvector_output_dim": 512, "num_labels": 8}
    return WavLMForXVector(WavLMConfig(**shape)).eval()


def xvectors(network: Any, batch: Batch) -> Tensor:
    """x-vectors [B, 512] of the waves in `batch`. Fewer than two frames behind the head give NaN: no spread over time."""
    states = torch.stack(wav2vec2.hidden_states(network.wavlm, batch.rows, batch.lengths), dim=1)
    shares = torch.softmax(network.layer_weights, dim=-1)
    hidden = network.projector((states * shares.view(-1, 1, 1)).sum(dim=1))
    for layer in network.tdnn:
        hidden = layer(hidden)
    if batch.lengths is None:
        statistics = [hidden.mean(dim=1), hidden.std(dim=1)]
    else:
        config = network.config
        reaches = [(1 + (k - 1) * d, 1) for k, d in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)]
        counts = masks.after_convolutions(batch.lengths, [*wav2vec2.convolution_shapes(network.wavlm), *reaches])
        statistics = [masks.mean(hidden, counts), masks.deviation(hidden, counts)]
    return network.feature_extractor(torch.cat(statistics, dim=-1))
