"""Published weights of Stable Codec: one file of tensors that begin `encoder.` and `decoder.`, and model_config.json."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..blocks.states import StateDictError, blank, load_strict
from ..blocks.weight_norm import Conv1d, fold_weight_norm
from .config import Bottleneck, StableCodecConfig
from .model import StableCodec
from .transformer import Scale

# Angles that are computed here; parts that hold nothing but constants, or that only training used.
UNUSED = (r".*\.rope\.inv_freq", r"(bottleneck|pretransform|proj_head)\..*")
_FIRST = "encoder.layers.0.weight_v"


def load(state: Mapping[str, Tensor], config: StableCodecConfig, bottleneck: Bottleneck, where: str = "") -> StableCodec:
    """The codec, in eval mode with its weights folded. A beginning that all names share (`state_dict.`, `model.`) is cut.

    Raises StateDictError naming `where` and what is missing, unknown or misshapen.
    """
    heads = sorted((key.removesuffix(_FIRST) for key in state if key.endswith(_FIRST)), key=len)
    if not heads:
        raise StateDictError(f"{where}: no tensor {_FIRST}; this is no checkpoint of Stable Codec")
    plain = {key.removeprefix(heads[0]): value for key, value in state.items() if key.startswith(heads[0])}
    with blank():
        model = StableCodec(config, bottleneck)
    load_strict(model, plain, UNUSED, where)
    return freeze(model)


def freeze(model: StableCodec) -> StableCodec:
    """Evaluation mode with plain weights: the same function, faster."""
    model.eval().requires_grad_(False)
    fold_weight_norm(model)
    return model


def random_model(config: StableCodecConfig, bottleneck: Bottleneck, seed: int) -> StableCodec:
    """Seeded random weights whose codes vary: for tests, never for results."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = StableCodec(config, bottleneck).eval()
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, Scale):
                    module.scale.fill_(0.2)
            # The last layer is scaled to mean 0, variance 1 over the frames of noise: tanh then uses its range.
            latents = model.latents(0.3 * torch.randn(1, 40 * config.hop))[0]
            last = model.encoder.layers[-1]
            assert isinstance(last, Conv1d) and last.bias is not None
            last.weight_g.div_(latents.std(1)[:, None, None])
            last.bias.sub_(latents.mean(1)).div_(latents.std(1))
    return freeze(model)
