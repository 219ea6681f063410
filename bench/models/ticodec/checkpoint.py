"""Published TiCodec and HiFi-Codec checkpoints: one pickle with the state dicts `encoder`, `quantizer`, `generator`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..blocks.states import blank, load_strict
from ..blocks.weight_norm import fold_weight_norm
from .model import Table, TiCodec, TiCodecConfig

PARTS = ("encoder.", "quantizer.", "generator.")
# A linear layer that the published encoder builds and never calls.
UNUSED = (r"encoder\.linear\.0\.(weight|bias)",)


def load(state: Mapping[str, Tensor], config: TiCodecConfig, where: str = "") -> TiCodec:
    """The network of a published state dict, in eval mode with its weights folded.

    state: the three dictionaries of the pickle as one, with names that begin as in `PARTS`. Raises StateDictError naming
    `where` and what is missing, unknown or misshapen.
    """
    with blank():
        model = TiCodec(config)
    load_strict(model, state, UNUSED, where)
    return freeze(model)


def freeze(model: TiCodec) -> TiCodec:
    """Evaluation mode with plain weights: the same function, faster."""
    model.eval().requires_grad_(False)
    fold_weight_norm(model)
    return model


def random_model(config: TiCodecConfig, seed: int) -> TiCodec:
    """Seeded random weights whose codes vary: for tests, never for results."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TiCodec(config).eval()
        # Levels apart, so that the global vectors differ too.
        wave = torch.tensor([0.003, 0.03, 0.3])[:, None] * torch.randn(3, config.sample_rate)
        with torch.no_grad():
            latent, vector = model.encoder(wave[:, None])
            for depth, name in enumerate(model.quantizer.names):
                _spread(model.quantizer.tables(name), latent.transpose(1, 2).flatten(0, 1), depth)
            if vector is not None:
                _spread(model.quantizer.tables("quantizer_modules_globaltokens"), vector, 0)
    return freeze(model)


def _spread(tables: Sequence[Table], vectors: Tensor, depth: int) -> None:
    """Random entries around `vectors` [M, D] or, deeper down, around zero: a table far away would always say the same."""
    for table, part in zip(tables, vectors.chunk(len(tables), -1), strict=True):
        weight = table.embedding.weight
        weight.copy_(0.7**depth * part.std(0).clamp_min(1e-6) * torch.randn_like(weight))
        if depth == 0:
            weight.add_(part.mean(0))
