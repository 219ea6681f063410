"""FunCodec's and FreqCodec's recipe (arXiv 2309.07405, section 2.5): one network, many rates by quantizer dropout.

The paper-size cards use its losses alone. The nano card adds a frozen Whisper's distance and starts the codebooks by
k-means once the unquantized network has settled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bench.models.funcodec import PRESETS, FunCodec
from bench.models.funcodec.config import FunCodecConfig
from bench.models.funcodec.losses import MultiSpectralLoss
from bench.train.losses import MultiMelL1
from bench.train.recipe import Recipe, weights_of
from bench.train.settings import RecipeCard
from bench.train.whisper import WhisperEncoder, feature_distance

LOSSES: Mapping[str, Any] = {
    "wave": 1.0,  # L1 of samples
    "spectral": 1.0,  # the paper's multi-resolution log spectra
    "multimel": 0.0,  # L1 of log-mels at several resolutions
    "commitment": 1.0,
    "whisper": "",  # path of tiny.en.pt; empty: no feature loss
    "whisper_blocks": 4,
    "perceptual": 0.0,  # distance of Whisper features, decoded against original
    "quantize_from": 0.0,  # share of the run without quantization, before the k-means start
    "pool": 4096,  # embeddings that k-means starts from
    "renew_below": 2.0,  # moving count of uses per batch below which a codeword is replaced
}


class FreqCodecRecipe(Recipe):
    """Card tables: [model] preset = name, and any field of FunCodecConfig over it; [loss] as in LOSSES."""

    started: Tensor

    def __init__(self, card: RecipeCard) -> None:
        super().__init__(card)
        self.loss = weights_of(card.loss, LOSSES, f"{card.path} [loss]")
        torch.manual_seed(card.run.seed)
        self.codec = FunCodec(config_of(card.model))
        self.frame = self.codec.config.hop
        for level in self.codec.quantizer.levels:
            level.renew_below = self.loss["renew_below"]
        self.spectral = MultiSpectralLoss() if self.loss["spectral"] else None
        self.multimel = MultiMelL1(16000, (128, 256, 512, 1024, 2048), (20, 40, 64, 80, 80)) if self.loss["multimel"] else None
        self.whisper = (
            WhisperEncoder.load(Path(self.loss["whisper"]), self.loss["whisper_blocks"]) if self.loss["whisper"] else None
        )
        self.pool: list[Tensor] = []
        self.register_buffer("started", torch.tensor(0 if self.loss["quantize_from"] else 1))
        self.used: Tensor | None = None

    def forward(self, wave: Tensor, progress: float, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss, codec = self.loss, self.codec
        out: dict[str, Tensor] = {}
        embedding, scale = codec.embed(wave)
        embedding = embedding.float()
        if self.started or not self.training:
            quantized = codec.quantizer(embedding)
            words = quantized.words
            out["commitment"] = loss["commitment"] * quantized.commitment.mean()
            self._count(quantized.indices)
        else:
            words = embedding
            self._collect(embedding, progress)
        fake = codec.decode_embedding(words, scale)[:, : wave.shape[1]]
        real = wave[:, : fake.shape[1]]
        if loss["wave"]:
            out["wave"] = loss["wave"] * F.l1_loss(fake, real)
        if self.spectral is not None:
            out["spectral"] = loss["spectral"] * self.spectral(fake, real)
        if self.multimel is not None:
            out["multimel"] = loss["multimel"] * self.multimel(real, fake)
        if self.whisper is not None and loss["perceptual"]:
            with torch.no_grad():
                heard = self.whisper(real)
            out["perceptual"] = loss["perceptual"] * feature_distance(heard, self.whisper(fake))
        return {**out, "real": real, "fake": fake}

    @torch.no_grad()
    def _collect(self, embedding: Tensor, progress: float) -> None:
        """Keep embeddings of the last batches; at the appointed time start all codebooks from them by k-means."""
        self.pool.append(embedding.detach().flatten(0, 1))
        while sum(len(p) for p in self.pool[1:]) >= self.loss["pool"]:
            self.pool.pop(0)
        if progress >= self.loss["quantize_from"]:
            with torch.autocast(embedding.device.type, enabled=False):
                self.codec.quantizer(torch.cat(self.pool)[None], self.codec.config.codebooks)
            self.pool.clear()
            self.started.fill_(1)

    @torch.no_grad()
    def _count(self, indices: Tensor) -> None:
        size = self.codec.config.codebook_size
        if self.used is None:
            self.used = torch.zeros(len(indices), size, device=indices.device)
        for level, row in enumerate(indices):
            if int(row.flatten()[0]) >= 0:
                self.used[level].mul_(0.99).add_(torch.bincount(row.flatten(), minlength=size).float())

    def facts(self) -> dict[str, Any]:
        """Perplexity of each codebook over the last few hundred steps: a collapse shows here and nowhere else."""
        if self.used is None:
            return {}
        p = self.used / self.used.sum(1, keepdim=True).clamp_min(1)
        entropy = -(p * p.clamp_min(1e-12).log()).sum(1)
        return {"perplexity": [round(float(x), 1) for x in entropy.exp()]}

    def export(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.codec.state_dict().items() if not k.endswith((".embed_avg", ".cluster_size", ".inited"))}

    def describe(self) -> dict[str, str]:
        return {"config": json.dumps(self.codec.config.as_dict()), "family": "funcodec"}

    @torch.no_grad()
    def reconstruct(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(wave, (0, -len(wave) % self.frame))
        out = self.codec.reconstruct(torch.from_numpy(padded)[None], min(8, self.codec.config.codebooks))[0].numpy()
        return np.pad(out, (0, max(0, len(wave) - len(out))))[: len(wave)]


def config_of(model: Mapping[str, Any]) -> FunCodecConfig:
    """`preset` with the other keys of [model] over it; "encoder" and "decoder" are merged key by key."""
    base = PRESETS[model.get("preset", "encodec_ds320")].as_dict()
    for key, value in model.items():
        if key == "preset":
            continue
        base[key] = {**base[key], **value} if isinstance(value, Mapping) else value
    return FunCodecConfig.from_dict(base)
