"""FocalCodec's recipe: "joint" trains all parts together (nano); "compressor" and "decoder" are the paper's two stages.

The paper (arXiv 2502.04465, section 3 and appendix B) freezes WavLM, trains compressor, quantizer and decompressor on
its features with MSE and an entropy loss, and the Vocos decoder on continuous features with adversarial losses. A small
codec has no pretrained encoder to freeze: "joint" learns encoder and decoder with the bottleneck in place, guided by a
frozen Whisper encoder, and "compressor" then fits further token rates between that encoder and decoder.
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
from torch import Tensor, nn

from bench.errors import BadCard
from bench.models.focalcodec import FocalCodec
from bench.train.losses import MelL1, MultiMelL1, bit_spread
from bench.train.recipe import Recipe, weights_of
from bench.train.settings import RecipeCard
from bench.train.whisper import WhisperEncoder, feature_distance, standardised
from bench.train.whisper_start import copy_blocks, encoder_losses

LOSSES: Mapping[str, Any] = {
    "mode": "joint",  # encoder | joint | compressor | decoder
    "initial": "",  # safetensors with the parts that this stage does not train
    "mel": 0.0,  # L1 of the recipe's 80-band log-mel
    "multimel": 0.0,  # L1 of log-mels at several resolutions
    "entropy": 0.0,  # the paper's, with the full table of codewords
    "spread": 0.0,  # see losses.bit_spread: a cheaper guard against collapse
    "quantize_from": 0.0,  # share of the run in which the unit latents pass unquantized
    "features": 0.0,  # MSE between decompressed and encoder features
    "whisper": "",  # path of tiny.en.pt; empty: no feature loss
    "whisper_blocks": 4,
    "perceptual": 0.0,  # distance of Whisper features, decoded against original
    "distil": 0.0,  # distance of a linear image of the encoder's features to Whisper's last block
    "bypass": 0.0,  # share of items that reach the decoder unquantized, so that it also decodes encoder features
    "copy_whisper": False,  # start the encoder's layers from Whisper's blocks
    "encoder_rate": 1.0,  # factor on the encoder's learning rate
    "filterbank": False,  # start the first convolution as a bank of windowed tones
}


class FocalCodecRecipe(Recipe):
    """Card tables: [model] config = preset name, overrides = {dotted path = value}; [loss] as in LOSSES."""

    margin = 80

    def __init__(self, card: RecipeCard) -> None:
        super().__init__(card)
        self.loss = weights_of(card.loss, LOSSES, f"{card.path} [loss]")
        model = weights_of(card.model, {"config": "50hz", "overrides": {}}, f"{card.path} [model]")
        torch.manual_seed(card.run.seed)
        self.codec = FocalCodec.from_config(model["config"], dict(model["overrides"]))
        if self.loss["filterbank"]:
            start_as_filterbank(self.codec.encoder.feature_extractor.layers[0].conv)  # type: ignore[arg-type]
        start_local(self.codec.encoder.encoder.relative_embedding)
        self.mode: str = self.loss["mode"]
        trained = {
            "encoder": ("encoder",),
            "joint": ("encoder", "compressor", "decompressor", "decoder"),
            "compressor": ("compressor", "decompressor"),
            "decoder": ("decoder",),
        }
        if self.mode not in trained:
            raise BadCard(f"{card.path} [loss]: mode is '{self.mode}'; it must be one of {', '.join(trained)}")
        self.trained = trained[self.mode]
        self.codec.requires_grad_(False)
        for part in self.trained:
            getattr(self.codec, part).requires_grad_(True)
        if self.loss["initial"]:
            load_parts(self.codec, Path(self.loss["initial"]), set(self.trained))
        self.seen: set[int] = set()  # distinct tokens met in validation: few of them mean a collapse
        self.mel = MelL1()
        self.multimel = MultiMelL1(16000, (128, 256, 512, 1024, 2048), (20, 40, 64, 80, 80))
        self.whisper = (
            WhisperEncoder.load(Path(self.loss["whisper"]), self.loss["whisper_blocks"]) if self.loss["whisper"] else None
        )
        if self.loss["copy_whisper"] and self.whisper is not None:
            copy_blocks(self.codec.encoder, self.whisper)
        self.image = nn.Linear(self.codec.config.encoder.dim, 384) if self.loss["distil"] else None

    def forward(self, wave: Tensor, progress: float, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss = self.loss
        codec = self.codec
        if self.mode == "encoder":
            assert self.whisper is not None
            return encoder_losses(codec.encoder, self.whisper, wave, wave.shape[1] - self.margin)
        feats = codec.sig_to_feats(wave)
        out: dict[str, Tensor] = {}
        if self.mode == "decoder":
            decoded = feats
        else:
            lats = codec.feats_to_lats(feats)
            sent = lats if self.training and progress < loss["quantize_from"] else codec.quantizer.straight_through(lats)
            decoded = codec.codes_to_qfeats(sent)[:, : feats.shape[1]]
            if loss["entropy"]:
                out["entropy"] = loss["entropy"] * codec.quantizer.entropy_loss(lats.float())
            if loss["spread"]:
                out["spread"] = loss["spread"] * bit_spread(lats)
            if loss["features"]:
                out["qfeats"] = loss["features"] * F.mse_loss(decoded.float(), feats.detach().float())
            if loss["bypass"] and self.training:
                keep = torch.rand(len(wave), 1, 1, device=wave.device) >= loss["bypass"]
                decoded = torch.where(keep, decoded, feats)
        if not any(loss[name] for name in ("mel", "multimel", "perceptual")) and self.card.discriminator is None:
            return out
        fake = codec.feats_to_sig(decoded.float())
        real = wave[:, : fake.shape[1]]
        if loss["mel"]:
            out["mel"] = loss["mel"] * self.mel(real, fake)
        if loss["multimel"]:
            out["multimel"] = loss["multimel"] * self.multimel(real, fake)
        if self.whisper is not None:
            with torch.no_grad():
                heard = self.whisper(real)
            if loss["perceptual"]:
                out["perceptual"] = loss["perceptual"] * feature_distance(heard, self.whisper(fake))
            if self.image is not None and feats.requires_grad:
                frames = min(feats.shape[1], heard[-1].shape[1])
                guess = self.image(feats[:, :frames]).float()
                out["distil"] = loss["distil"] * F.l1_loss(guess, standardised(heard[-1][:, :frames]))
        return {**out, "real": real, "fake": fake}

    def groups(self) -> list[dict[str, Any]]:
        encoder = [p for p in self.codec.encoder.parameters() if p.requires_grad]
        rest = [p for p in self.trainable() if not any(p is q for q in encoder)]
        return (
            [{"params": rest}, {"params": encoder, "factor": self.loss["encoder_rate"]}] if rest and encoder else super().groups()
        )

    def export(self) -> dict[str, Tensor]:
        state = self.codec.state_dict()
        return {k: v for k, v in state.items() if k.split(".")[0] in self.trained}

    def facts(self) -> dict[str, Any]:
        return {"tokens": len(self.seen)}

    def describe(self) -> dict[str, str]:
        return {"config": json.dumps(self.codec.config.to_dict())}

    @torch.no_grad()
    def reconstruct(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(wave, (0, -len(wave) % 320 + self.margin))
        tokens, _, out = self.codec(torch.from_numpy(padded)[None])
        self.seen.update(tokens.flatten().tolist())
        return out[0].numpy()[: len(wave)]


def start_as_filterbank(conv: nn.Conv1d, rate_hz: int = 16000) -> None:
    """Set a first convolution [C, 1, k] to Hann-windowed tones in four phases, mel-spaced from 60 Hz to 7.6 kHz.

    The four phases are there because a GELU follows: rectified, they add up to the magnitude of the band. The scale
    puts quiet speech near the epsilon of the LayerNorm that follows, so that level is not normalised away.
    """
    channels, _, kernel = conv.weight.shape
    bands = channels // 4
    mels = torch.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 7600 / 700), bands, dtype=torch.float64)
    hz = 700 * (10 ** (mels / 2595) - 1)
    time = torch.arange(kernel, dtype=torch.float64)
    angle = 2 * np.pi * hz[:, None] * (time - kernel / 2) / rate_hz
    phases = torch.arange(4, dtype=torch.float64) * (np.pi / 2)
    tones = torch.cos(angle[:, None] + phases[:, None]) * torch.hann_window(kernel, dtype=torch.float64)
    # Higher bands are weaker in speech by about 6 dB per octave.
    tones = tones * (hz[:, None, None] / 500).clamp(0.5, 8.0)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[: 4 * bands] = (tones / tones.square().sum(-1, keepdim=True).mean().sqrt()).reshape(-1, 1, kernel).float()


def start_local(embedding: nn.Embedding) -> None:
    """Start a relative position bias as a penalty on distance, steeper from head to head (ALiBi, arXiv 2108.12409).

    Short crops then do not teach a habit that long utterances break.
    """
    buckets, heads = embedding.weight.shape
    half = buckets // 2
    with torch.no_grad():
        distance = torch.arange(buckets) % half
        slopes = 2.0 ** (-torch.arange(heads) / heads * 4.0)
        embedding.weight.copy_(-0.2 * distance[:, None] * slopes)


def load_parts(codec: FocalCodec, path: Path, trained: set[str]) -> None:
    """Load what `path` holds into the codec; every part that is not `trained` must be there in full."""
    from safetensors.torch import load_file

    tensors = {k: v.float() for k, v in load_file(path).items()}
    missing, unexpected = codec.load_state_dict(tensors, strict=False)
    absent = [k for k in missing if k.split(".")[0] not in trained]
    if absent or unexpected:
        raise BadCard(f"{path}: does not fit the recipe's model; missing {absent[:3]}, unexpected {unexpected[:3]}")
