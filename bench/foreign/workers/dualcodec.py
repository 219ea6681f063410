"""DualCodec's own package (PyPI `dualcodec`), 24 kHz. Settings: `model` (12hz_v1 or 25hz_v1) and `codebooks`.

The first codebook stands for w2v-BERT features, the others for what is left of the sound. The weights are a folder of
DualCodec's checkpoint, w2vbert2_mean_var_stats_emilia.pt and, beside them, config.json, preprocessor_config.json and
model.safetensors of facebook/w2v-bert-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dualcodec
import numpy as np
import torch

from bench.coding.codes import Codes, Part, Tokens

PACKAGES = ("dualcodec", "torch", "transformers")
MODELS = {"12hz_v1": (1920, 16384, 4096, 8), "25hz_v1": (960, 16384, 1024, 12)}
"""Name -> samples a frame, entries of the first codebook, of the others, how many there are."""


class DualCodec:
    sample_rate = 24000

    def __init__(self, inference: Any, model: str, codebooks: int) -> None:
        self.frame, first, others, most = MODELS[model]
        if not 1 <= codebooks <= most:
            raise ValueError(f"codebooks is {codebooks}, must be 1 to {most}")
        self.inference, self.sizes = inference, (first, *[others] * (codebooks - 1))
        self.min_samples = 2 * self.frame

    @torch.no_grad()
    def encode(self, wave: np.ndarray) -> tuple[Part, ...]:
        sound = torch.from_numpy(np.array(wave, np.float32))[None, None]
        semantic, acoustic = self.inference.encode(sound, n_quantizers=len(self.sizes))
        stages = [semantic[0]] + ([acoustic[0]] if len(self.sizes) > 1 else [])
        indices = torch.cat(stages).T.cpu().numpy()
        return (Tokens("codes", self.sample_rate / self.frame, self.sizes, indices),)

    @torch.no_grad()
    def decode(self, codes: Codes) -> np.ndarray:
        stages = torch.from_numpy(codes.tokens[0].indices.T.astype(np.int64))[None].to(self.inference.device)
        acoustic = stages[:, 1:] if len(self.sizes) > 1 else None
        return self.inference.decode(stages[:, :1], acoustic).reshape(-1).float().cpu().numpy()


def load(settings: Mapping[str, Any], files: Mapping[str, Path], seed: int, device: str) -> DualCodec:
    if not files:
        raise ValueError("DualCodec has no random weights: its features come from w2v-BERT; give WEIGHTS=FOLDER")
    model = str(settings["model"])
    if model not in MODELS:
        raise ValueError(f"model is {model!r}, must be one of {', '.join(MODELS)}")
    folder = str(next(iter(files.values())).parent)
    network = dualcodec.get_model(model, folder)
    inference = dualcodec.Inference(
        dualcodec_model=network, dualcodec_path=folder, w2v_path=folder, device=device, autocast=False
    )
    return DualCodec(inference, model, int(settings["codebooks"]))
