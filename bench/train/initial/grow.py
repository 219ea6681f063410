"""A FunCodec decoder with more residual blocks than the one it is made from, and the same output until it is trained on.

Blocks that are added pass on what they hear: their shortcut is the identity and the last convolution of their branch is
zero (as the zero start of residual branches in Goyal et al. 2017, arXiv 1706.02677, section 5.1).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.models.blocks.seanet import ResidualBlock
from bench.models.funcodec import FunCodec
from bench.models.funcodec.config import FunCodecConfig


@torch.no_grad()
def deepen(codec: FunCodec, config: FunCodecConfig) -> FunCodec:
    """-> the network of `config` with all of `codec` in it.

    `config` may have more residual layers in the decoder; each stage's new blocks follow the old ones. Raises ValueError
    where anything else of the networks differs, or where they have norms, which no zero gets through.
    """
    here, wanted = codec.config.as_dict(), config.as_dict()
    wanted["decoder"] = {**wanted["decoder"], "residual_layers": here["decoder"]["residual_layers"]}
    differing = [key for key in here if here[key] != wanted[key] and key != "dropout"]
    old, new = codec.config.decoder.residual_layers, config.decoder.residual_layers
    if differing or new < old:
        raise ValueError(f"the networks differ in {', '.join(differing) or 'layers that the new one lacks'}")
    if config.norm != "none":
        raise ValueError(f"a decoder with norm = '{config.norm}' cannot be made deeper; only one with 'none'")
    grown = FunCodec(config)
    rest = {k: v for k, v in codec.state_dict().items() if not k.startswith("decoder.")}
    grown.load_state_dict(rest, strict=False)
    before: Any = iter(codec.decoder.model)
    run = 0
    for layer in grown.decoder.model:
        run = run + 1 if isinstance(layer, ResidualBlock) else 0
        if run <= old:
            layer.load_state_dict(next(before).state_dict())
            continue
        block: Any = layer
        shortcut, last_of_branch = block.shortcut.conv.conv, block.block[3]
        nn.init.dirac_(shortcut.weight)
        shortcut.bias.zero_()
        for parameter in last_of_branch.parameters():
            parameter.zero_()
    return grown
