"""fp32 or bf16 autocast, whichever this machine is faster in.

bf16 halves the time where the CPU has instructions for it (avx512_bf16, AMX) and may double it elsewhere.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from bench.models.blocks.discriminators import adversarial_loss
from bench.train.data import Batch
from bench.train.recipe import Recipe, judged_part


def faster(recipe: Recipe, judges: nn.Module | None, batch: Batch, crop: int, device: torch.device) -> str:
    """ "fp32" or "bf16": the quicker of a forward and backward pass over `batch` in each, after one to warm up.

    Neither the random state nor the recipe's tensors are changed. crop: samples that the judges hear of each item.
    """
    random, kept = torch.get_rng_state(), {k: v.clone() for k, v in recipe.state_dict().items()}
    wave = torch.from_numpy(batch.waves).to(device)
    extra = {k: v.to(device) for k, v in recipe.extra(batch).items()}
    took: dict[str, float] = {}
    for precision in ("fp32", "bf16"):
        for _ in range(2):
            start = time.process_time()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                losses = recipe(wave, 0.0, extra)
                total: Tensor = torch.stack([v.float() for k, v in losses.items() if k not in ("real", "fake")]).sum()
                if judges is not None and "fake" in losses:
                    total = total + adversarial_loss(judges(judged_part(losses["real"], losses["fake"], crop)[1]))
            total.backward()
            took[precision] = time.process_time() - start
    recipe.load_state_dict(kept)
    for module in (recipe, judges):
        if module is not None:
            module.zero_grad(set_to_none=True)
    torch.set_rng_state(random)
    return min(took, key=lambda name: took[name])
