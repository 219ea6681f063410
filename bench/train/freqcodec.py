"""FunCodec's and FreqCodec's recipe (arXiv 2309.07405, section 2.5): one network, many rates by quantizer dropout.

The paper-size cards use its losses alone ("whole"). The nano card trains in stages: "codes", encoder and codebooks
(started by k-means once the unquantized network has settled) with the decoder's planes alone as target; then the whole
(synthesis, further) with discriminators and a frozen Whisper's distance. Mode "synthesis" trains the decoder alone,
behind frozen codes: all of it, or made deeper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import BadCard
from bench.models.blocks.padded_conv import PaddedConvTranspose
from bench.models.funcodec import PRESETS, FunCodec, load
from bench.models.funcodec.config import BINS, FunCodecConfig
from bench.models.funcodec.losses import MultiSpectralLoss
from bench.train.data import Crops
from bench.train.initial.centring import Centred
from bench.train.initial.grow import deepen
from bench.train.initial.pca import start_as_pca
from bench.train.losses import WAVE_LOSSES, WaveLosses
from bench.train.packing import pack_corrected
from bench.train.recipe import Recipe, slower, weights_of
from bench.train.settings import RecipeCard
from bench.train.whisper import WhisperEncoder

if TYPE_CHECKING:
    from bench.train.data import Corpus

LOSSES: Mapping[str, Any] = {
    **WAVE_LOSSES,
    "mode": "whole",  # whole | codes | synthesis
    "initial": "",  # safetensors to start from
    "planes": 0.0,  # distance of the decoder's STFT planes to those of the original
    "wave": 1.0,  # L1 of samples
    "spectral": 1.0,  # the paper's multi-resolution log spectra
    "commitment": 1.0,
    "whisper": "",  # path of tiny.en.pt; empty: no feature loss
    "whisper_blocks": 4,
    "token_rate": 1.0,  # learning rate of the encoder, as a share of the decoder's
    "centred": False,  # the decoder's convolutions hear their inputs less the means, see centred
    "transposed_rate": 1.0,  # the same for the decoder's transposed convolutions, which cannot be centred
    "linear": False,  # start from the principal components of the training speech, see initial.pca
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
        self.mode: str = self.loss["mode"]
        if self.mode not in ("whole", "codes", "synthesis"):
            raise BadCard(f"{card.path} [loss]: mode is '{self.mode}'; it must be whole, codes or synthesis")
        self.codec = FunCodec(config_of(card.model))
        if self.loss["initial"]:
            self._begin_from(Path(self.loss["initial"]))
        if self.mode == "synthesis":
            self.codec.requires_grad_(False)
            self.codec.decoder.requires_grad_(True)
        self.frame = self.codec.config.hop
        for level in self.codec.quantizer.levels:
            level.renew_below = self.loss["renew_below"]
        self.spectral = MultiSpectralLoss() if self.loss["spectral"] else None
        self.wave_losses = WaveLosses(self.loss)
        self.whisper = (
            WhisperEncoder.load(Path(self.loss["whisper"]), self.loss["whisper_blocks"]) if self.loss["whisper"] else None
        )
        self.pool: list[Tensor] = []
        self.register_buffer("started", torch.tensor(0 if self.loss["quantize_from"] and self.mode != "synthesis" else 1))
        self.centred: Centred | None = None
        self.used: Tensor | None = None
        self.heard: Tensor | None = None

    def _begin_from(self, path: Path) -> None:
        """The network of a file; a decoder that the card wants deeper gets more residual blocks."""
        config, self.codec = self.codec.config, load(path).train()
        if config.decoder.residual_layers > self.codec.config.decoder.residual_layers:
            try:
                self.codec = deepen(self.codec, config).train()
            except ValueError as error:
                raise BadCard(f"{path}: does not fit {self.card.path} [model]: {error}") from error

    def prepare(self, corpus: Corpus) -> None:
        crops = Crops(corpus, 24, 20480, self.card.run.seed)
        self.heard = torch.from_numpy(crops.draw(0).waves)
        if self.loss["linear"] and not self.loss["initial"]:
            waves = torch.from_numpy(np.concatenate([crops.draw(k).waves for k in range(20)]))
            try:
                start_as_pca(self.codec, waves)
            except ValueError as error:
                raise BadCard(f"{self.card.path} [loss] linear: {error}") from error
        if self.loss["centred"]:
            heard, codec = self.heard, self.codec
            self.centred = Centred(codec.decoder, lambda: codec.decoder(codec.embed(heard)[0]))

    def groups(self) -> list[dict[str, Any]]:
        transposed = [layer for layer in self.codec.decoder.modules() if isinstance(layer, PaddedConvTranspose)]
        return slower(self, ([self.codec.encoder], self.loss["token_rate"]), (transposed, self.loss["transposed_rate"]))

    def forward(self, wave: Tensor, progress: float, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss, codec = self.loss, self.codec
        out: dict[str, Tensor] = {}
        with torch.set_grad_enabled(self.mode != "synthesis" and torch.is_grad_enabled()):
            embedding, scale = codec.embed(wave)
            words = self._words(embedding.float(), progress, out)
        planes = codec.decoder(words)
        if loss["planes"]:
            out["planes"] = loss["planes"] * plane_distance(planes, codec.transform.analyse(wave / scale))
        if self.mode == "codes":
            return out
        fake = (codec.transform.synthesise(planes) * scale)[:, : wave.shape[1]]
        real = wave[:, : fake.shape[1]]
        if loss["wave"]:
            out["wave"] = loss["wave"] * F.l1_loss(fake, real)
        if self.spectral is not None:
            out["spectral"] = loss["spectral"] * self.spectral(fake, real)
        return {**out, **self.wave_losses(real, fake, self.whisper), "real": real, "fake": fake}

    def _words(self, embedding: Tensor, progress: float, out: dict[str, Tensor]) -> Tensor:
        """What the decoder gets of an embedding [B, T, D]; puts the commitment into `out`."""
        quantizer = self.codec.quantizer
        if self.mode == "synthesis":
            levels = quantizer.dropout[int(torch.randint(len(quantizer.dropout), ()))] if self.training else None
            return quantizer.decode(quantizer.encode(embedding, levels))
        if not self.started and self.training:
            self._collect(embedding, progress)
            return embedding
        quantized = quantizer(embedding)
        out["commitment"] = self.loss["commitment"] * quantized.commitment.mean()
        self._count(quantized.indices)
        return quantized.words

    def train(self, mode: bool = True) -> FreqCodecRecipe:
        """As nn.Module.train; in synthesis the encoder stays frozen."""
        super().train(mode)
        if self.mode == "synthesis":
            self.codec.encoder.eval()
        return self

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
        state = self.codec.state_dict()
        if self.centred is not None:
            state |= {f"decoder.{k}": v for k, v in self.centred.plain(self.codec.decoder.state_dict()).items()}
        return {k: v for k, v in state.items() if not k.endswith((".embed_avg", ".cluster_size", ".inited"))}

    def packed(self, tensors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """8 bits with a scale for every few weights and corrected biases: what a linear start sends everything through is
        made of identities around an offset, and rounding by rows would shift whole bands of the spectrum."""
        heard = self.heard
        if not self.codec.config.flat or heard is None:
            return super().packed(tensors)
        tensors = tensors or self.export()
        network = FunCodec(self.codec.config).eval()
        network.load_state_dict(tensors, strict=False)
        level_out(network, heard)
        own = network.state_dict()
        state = {k: own[k].float() for k in tensors}
        return pack_corrected(network, state, (".embed",), lambda: network.decoder(network.embed(heard)[0]))

    def describe(self) -> dict[str, str]:
        return {"config": json.dumps(self.codec.config.as_dict()), "family": "funcodec"}

    @torch.no_grad()
    def reconstruct(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(wave, (0, -len(wave) % self.frame))
        out = self.codec.reconstruct(torch.from_numpy(padded)[None], min(8, self.codec.config.codebooks))[0].numpy()
        return np.pad(out, (0, max(0, len(wave) - len(out))))[: len(wave)]


@torch.no_grad()
def level_out(codec: FunCodec, waves: Tensor) -> None:
    """Scale the decoder's phase vectors so that decoded speech is as loud as the original, over all rates together.

    waves [B, T]. Phases that cannot be known cancel where frames overlap: without this, decoded speech is 2 to 3 dB faint.
    The wave is proportional to the length of the phase vectors, which the last convolution says. One-dimensional
    magnitude-phase networks only; others stay as they are.
    """
    if codec.config.domain != "mag_phase" or not codec.config.flat:
        return
    codes, scale = codec.encode(waves)
    ratios = []
    for levels in sorted(set(codec.quantizer.dropout)):
        fake = codec.decode(codes[:levels], scale)[:, : waves.shape[1]]
        ratios.append(waves[:, : fake.shape[1]].square().mean(1).sqrt() / fake.square().mean(1).sqrt().clamp_min(1e-8))
    layers: Any = codec.decoder.model
    last = layers[-1].conv.conv
    gain = torch.cat(ratios).log().median().exp()
    last.weight[BINS:] *= gain
    last.bias[BINS:] *= gain


def plane_distance(decoded: Tensor, target: Tensor) -> Tensor:
    """How far magnitude-phase planes as the decoder gives them are from those of the original, without a synthesis.

    Both [B, 3, 257, T] or laid end to end [B, 771, T]. L1 of log magnitudes (floored at 1e-3 of unit level), plus 1 minus
    the cosine between phase vectors, weighted by the original's magnitude to the power 0.3, plus what holds their
    length near 1: the squared distance would shrink vectors that cannot be known to nothing, and the wave with them.
    A clean gradient: what reaches the encoder through a synthesis and spectra of the wave is so noisy that it keeps to
    three dimensions.
    """
    frames = min(decoded.shape[-1], target.shape[-1])
    ours, theirs = (x[..., :frames].float().reshape(len(x), 3, -1, frames) for x in (decoded, target))
    magnitude = (F.softplus(ours[:, 0]) + 1e-3).log()
    floor = theirs[:, 0].clamp_min(-6.9)
    weight = (0.3 * floor).exp()
    length = (ours[:, 1:].square().sum(1) + 1e-6).sqrt()
    cosine = (ours[:, 1:] * theirs[:, 1:]).sum(1) / length
    phase = (1.0 - cosine) * weight / weight.mean()
    return F.l1_loss(magnitude, floor) + 0.5 * phase.mean() + 0.1 * (length - 1.0).square().mean()


def config_of(model: Mapping[str, Any]) -> FunCodecConfig:
    """`preset` with the other keys of [model] over it; "encoder" and "decoder" are merged key by key."""
    base = PRESETS[model.get("preset", "encodec_ds320")].as_dict()
    for key, value in model.items():
        if key == "preset":
            continue
        base[key] = {**base[key], **value} if isinstance(value, Mapping) else value
    return FunCodecConfig.from_dict(base)
